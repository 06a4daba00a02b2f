// SPDX-License-Identifier: Apache-2.0

// Command cluster brings test clusters up and down and runs programs on their laptops: what make cluster-up,
// cluster-down and laptop call. It is wiring only; package cluster does the work.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/fairlead-dev/fairlead/tests/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := rootCommand().ExecuteContext(ctx)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil && ctx.Err() != nil {
		fmt.Fprintln(os.Stderr, "Interrupted. A cluster that was not up yet is taken down again.")
		os.Exit(130) // as a shell says SIGINT
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "cluster", Short: "Real Kubernetes clusters for tests, with laptops beside them",
		SilenceUsage: true, SilenceErrors: true,
	}
	var name string
	root.PersistentFlags().StringVar(&name, "name", "dev", "name of the cluster")
	root.AddCommand(
		buildCommand(), upCommand(&name), downCommand(&name), statusCommand(&name), laptopCommand(&name), nodeCommand(&name),
		kubeconfigCommand(&name), loadAgentCommand(&name), imageCommand(), snapshotCommand(&name),
		impairCommand(&name), relayCommand(&name),
		linkCommand(&name, "clear", "Undo impair", func(ctx context.Context, l *cluster.Laptop) error { return l.ClearImpairment(ctx) }),
		linkCommand(&name, "cut", "Drop every packet of a laptop", func(ctx context.Context, l *cluster.Laptop) error { return l.Cut(ctx) }),
		linkCommand(&name, "unplug", "Take a laptop's carrier away", func(ctx context.Context, l *cluster.Laptop) error { return l.Unplug(ctx) }),
		linkCommand(&name, "restore", "Undo cut and unplug", func(ctx context.Context, l *cluster.Laptop) error { return l.Restore(ctx) }),
		linkCommand(&name, "block-udp", "Drop UDP between a laptop and the nodes", func(ctx context.Context, l *cluster.Laptop) error { return l.BlockUDP(ctx) }),
		linkCommand(&name, "unblock-udp", "Undo block-udp", func(ctx context.Context, l *cluster.Laptop) error { return l.UnblockUDP(ctx) }),
	)
	return root
}

func buildCommand() *cobra.Command {
	return &cobra.Command{
		Use: "build", Short: "Build the programs that clusters are made of, so that up is quick", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			root, err := cluster.FindRoot()
			if err != nil {
				return err
			}
			_, err = cluster.Build(cmd.Context(), root, os.Stdout)
			return err
		},
	}
}

func upCommand(name *string) *cobra.Command {
	var config cluster.Config
	var family, resolver string
	command := &cobra.Command{
		Use: "up", Short: "Bring a cluster up", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config.Name, config.Family, config.Resolver = *name, cluster.Family(family), cluster.Resolver(resolver)
			config.Progress = os.Stdout
			up, err := cluster.Up(cmd.Context(), config)
			if err != nil {
				return err
			}
			fmt.Printf("\nA laptop's shell:   make laptop%[1]s\nOne command there:  make laptop%[1]s CMD='kubectl get pods -A'\nTake it down:       make cluster-down%[1]s\n",
				nameArgument(up.Config().Name))
			return nil
		},
	}
	command.Flags().IntVar(&config.Nodes, "nodes", 1, "number of nodes")
	command.Flags().IntVar(&config.Laptops, "laptops", 1, "number of laptops")
	command.Flags().StringVar(&family, "family", "ipv4", "ipv4 or dual")
	command.Flags().StringVar(&resolver, "resolver", "file", "file or resolved: how laptops resolve names")
	command.Flags().BoolVar(&config.WithoutShop, "without-shop", false, "leave out the sample shop")
	return command
}

func nameArgument(name string) string {
	if name == "dev" {
		return ""
	}
	return " NAME=" + name
}

func downCommand(name *string) *cobra.Command {
	var all bool
	command := &cobra.Command{
		Use: "down", Short: "Take a cluster down and remove everything it left", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !all {
				return cluster.Down(cmd.Context(), *name, "")
			}
			names, err := cluster.Names("")
			if err != nil {
				return err
			}
			var problems []error
			for _, each := range names {
				problems = append(problems, cluster.Down(cmd.Context(), each, ""))
			}
			return errors.Join(problems...)
		},
	}
	command.Flags().BoolVar(&all, "all", false, "every cluster of this checkout")
	return command
}

func statusCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show hosts, addresses and what runs", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			up, err := cluster.Open(*name, "")
			if err != nil {
				return err
			}
			return printStatus(cmd.Context(), os.Stdout, up)
		},
	}
}

func laptopCommand(name *string) *cobra.Command {
	var number int
	var user, dir string
	command := &cobra.Command{
		Use: "laptop [-- COMMAND [ARG...]]", Short: "Run a program, or a shell, on a laptop",
		RunE: func(cmd *cobra.Command, args []string) error {
			laptop, err := findLaptop(*name, number)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				args = []string{"bash"}
			}
			run := laptop.Command(cmd.Context(), user, args...)
			if dir != "" {
				run = laptop.CommandIn(cmd.Context(), user, dir, args...)
			}
			return replaceWith(run)
		},
	}
	command.Flags().IntVar(&number, "laptop", 1, "which laptop, from 1")
	command.Flags().StringVar(&user, "as", cluster.Developer, "user: dev, other or root")
	command.Flags().StringVar(&dir, "dir", "", "working folder (default: the user's home)")
	return command
}

func nodeCommand(name *string) *cobra.Command {
	var number int
	command := &cobra.Command{
		Use: "node [-- COMMAND [ARG...]]", Short: "Run a program, or a shell, on a node as root",
		RunE: func(cmd *cobra.Command, args []string) error {
			up, err := cluster.Open(*name, "")
			if err != nil {
				return err
			}
			if number < 1 || number > up.Nodes() {
				return fmt.Errorf("no node %d, there are %d", number, up.Nodes())
			}
			if len(args) == 0 {
				args = []string{"bash"}
			}
			return replaceWith(up.Node(number-1).Command(cmd.Context(), args...))
		},
	}
	command.Flags().IntVar(&number, "node", 1, "which node, from 1")
	return command
}

// replaceWith becomes the command, so that a terminal and signals reach it directly.
func replaceWith(command *exec.Cmd) error {
	return fmt.Errorf("run %s: %w", command.Path, unix.Exec(command.Path, command.Args, command.Env))
}

func kubeconfigCommand(name *string) *cobra.Command {
	var groups []string
	command := &cobra.Command{
		Use: "kubeconfig USER", Short: "Make a kubeconfig for a user and print its path", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			up, err := cluster.Open(*name, "")
			if err != nil {
				return err
			}
			path, err := up.UserKubeconfig(args[0], groups...)
			if err != nil {
				return err
			}
			fmt.Println(path)
			return nil
		},
	}
	command.Flags().StringSliceVar(&groups, "group", nil, "groups of the user; "+cluster.AdminGroup+" may do everything")
	return command
}

func loadAgentCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use: "load-agent [TAG...]", Short: "Put bin/fairlead-agent on every node as the chart's image (default tag: its version)",
		RunE: func(cmd *cobra.Command, tags []string) error {
			up, err := cluster.Open(*name, "")
			if err != nil {
				return err
			}
			return up.LoadAgent(cmd.Context(), tags...)
		},
	}
}

func imageCommand() *cobra.Command {
	var archive string
	command := &cobra.Command{
		Use: "image", Short: "Write the images of bin/fairlead-agent and bin/fairlead-sidecar to an archive, for another cluster to load", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			root, err := cluster.FindRoot()
			if err != nil {
				return err
			}
			ref, err := cluster.WriteAgentImage(cmd.Context(), root, archive)
			if err != nil {
				return err
			}
			fmt.Println(ref)
			return nil
		},
	}
	command.Flags().StringVarP(&archive, "output", "o", "fairlead-agent.tar", "the archive")
	return command
}

func snapshotCommand(name *string) *cobra.Command {
	return linkCommand(name, "snapshot", "Print a laptop's links, routes, rules and resolver", func(_ context.Context, l *cluster.Laptop) error {
		text, err := l.Snapshot()
		fmt.Print(text)
		return err
	})
}

func impairCommand(name *string) *cobra.Command {
	var impairment cluster.Impairment
	var rate string
	command := linkCommand(name, "impair", "Make a laptop's link slow, long or lossy, both ways", func(ctx context.Context, l *cluster.Laptop) error {
		var err error
		if impairment.Rate, err = parseRate(rate); err != nil {
			return err
		}
		return l.Impair(ctx, impairment)
	})
	command.Flags().DurationVar(&impairment.Delay, "delay", 0, "delay each way, such as 10ms")
	command.Flags().Float64Var(&impairment.Loss, "loss", 0, "share of packets lost each way, such as 0.005")
	command.Flags().StringVar(&rate, "rate", "", "bits per second each way, such as 200M")
	command.Flags().IntVar(&impairment.Queue, "queue", 0, "bytes that wait each way (default: one bandwidth-delay product)")
	command.Flags().Uint64Var(&impairment.Seed, "seed", 1, "seed of the losses")
	return command
}

// parseRate takes bits per second with an optional K, M or G.
func parseRate(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	factor := 1.0
	for suffix, value := range map[string]float64{"K": 1e3, "M": 1e6, "G": 1e9} {
		if strings.HasSuffix(text, suffix) {
			text, factor = strings.TrimSuffix(text, suffix), value
			break
		}
	}
	var number float64
	if _, err := fmt.Sscanf(text, "%g", &number); err != nil || number <= 0 {
		return 0, fmt.Errorf("rate %q: use a number of bits per second, such as 200M", text)
	}
	return number * factor, nil
}

// linkCommand is a command that does something to a laptop.
func linkCommand(name *string, use, short string, do func(context.Context, *cluster.Laptop) error) *cobra.Command {
	var number int
	command := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			laptop, err := findLaptop(*name, number)
			if err != nil {
				return err
			}
			return do(cmd.Context(), laptop)
		},
	}
	command.Flags().IntVar(&number, "laptop", 1, "which laptop, from 1")
	return command
}

func findLaptop(name string, number int) (*cluster.Laptop, error) {
	up, err := cluster.Open(name, "")
	if err != nil {
		return nil, err
	}
	if number < 1 || number > up.Laptops() {
		return nil, fmt.Errorf("no laptop %d, there are %d", number, up.Laptops())
	}
	return up.Laptop(number - 1), nil
}
