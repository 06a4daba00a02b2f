// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Groups of commands in the help.
const (
	groupDaily = "daily"
	groupSetup = "setup"
	groupOther = "other"
)

// run executes the command line and returns the exit status. The first Ctrl-C cancels what is under way; a second one
// ends the program at once.
func (p *program) run(arguments []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	p.output = requestedFormat(arguments) // known early, for errors in the arguments themselves
	root := p.rootCommand()
	root.SetArgs(arguments)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.ExecuteContext(ctx)
	return p.fail(err)
}

func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "fairlead",
		Short: "Connect this laptop to a Kubernetes cluster",
		Long: `Fairlead connects this laptop to a Kubernetes cluster as if it were a pod in it: Services and pods answer by name
and by address. No account, no cloud service, nothing left behind.`,
		Example: `  sudo fairlead helper install      # once per laptop
  fairlead gateway install          # once per cluster
  fairlead connect --namespace shop
  curl http://catalog/
  fairlead disconnect`,
		Args:          p.noSuchCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return p.output.check()
		},
	}
	root.SetFlagErrorFunc(explainFlag)
	// Commands that are only there for their subcommands are runnable merely to refuse arguments.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	root.AddGroup(
		&cobra.Group{ID: groupDaily, Title: "Every day:"},
		&cobra.Group{ID: groupSetup, Title: "Setting up and finding faults:"},
		&cobra.Group{ID: groupOther, Title: "Other:"},
	)
	flags := root.PersistentFlags()
	flags.VarP(&p.output, "output", "o", "how to answer: text, json or yaml")
	flags.BoolVarP(&p.quiet, "quiet", "q", false, "say nothing about progress")
	complete(root, "output", fixed(string(formatText), string(formatJSON), string(formatYAML)))
	root.AddCommand(
		p.connectCommand(), p.disconnectCommand(), p.statusCommand(), p.listCommand(),
		p.interceptCommand(), p.interceptsCommand(), p.requestsCommand(), p.leaveCommand(), p.envCommand(), p.openCommand(), p.uiCommand(), p.activityCommand(),
		p.doctorCommand(), p.helperCommand(), p.gatewayCommand(), p.settingsCommand(),
		p.quitCommand(), p.versionCommand(), p.daemonCommand(), p.manualCommand(),
		outputTopic(), exitStatusTopic(),
	)
	return root
}

// noSuchCommand refuses arguments that are no command, and names the commands that may have been meant.
func (p *program) noSuchCommand(c *cobra.Command, arguments []string) error {
	if len(arguments) == 0 {
		return nil
	}
	hint := "Run '" + c.CommandPath() + " --help' for the commands."
	c.SuggestionsMinimumDistance = 2
	if meant := c.SuggestionsFor(arguments[0]); len(meant) > 0 {
		hint = "Did you mean '" + c.CommandPath() + " " + strings.Join(meant, "' or '"+c.CommandPath()+" ") + "'?"
	}
	return problem.New(problem.Usage, hint, "there is no command '%s %s'", c.CommandPath(), arguments[0])
}

// noArguments refuses arguments that a command does not take.
func noArguments(c *cobra.Command, arguments []string) error {
	if len(arguments) == 0 {
		return nil
	}
	hint := "Run '" + c.CommandPath() + " --help' for its flags."
	if len(arguments) == 1 && c.Flags().Lookup("namespace") != nil {
		hint = "Did you mean '" + c.CommandPath() + " --namespace " + arguments[0] + "'?"
	}
	return problem.New(problem.Usage, hint,
		"'%s' takes no argument, and was given %q", c.CommandPath(), arguments[0])
}

// family makes a command that is only there for its subcommands.
func (p *program) family(c *cobra.Command) *cobra.Command {
	c.Args = p.noSuchCommand
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return c
}
