// SPDX-License-Identifier: Apache-2.0

// Command cluster-host is what runs inside the test cluster's hosts: their init, the program that enters them, the
// servers of the pretended internet and the user-space link. It is wiring only.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/fairlead-dev/fairlead/tests/cluster/host"
	"github.com/fairlead-dev/fairlead/tests/cluster/impair"
	"github.com/fairlead-dev/fairlead/tests/cluster/internet"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster-host:", err)
		code = 125
	}
	os.Exit(code)
}

func run(args []string) (int, error) {
	if len(args) == 0 {
		return 0, fmt.Errorf("usage: cluster-host init|exec|internet|impair")
	}
	command, args := args[0], args[1:]
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	switch command {
	case "init":
		if len(args) != 1 {
			return 0, fmt.Errorf("usage: cluster-host init SPEC")
		}
		return 0, host.Init(args[0], os.NewFile(3, "ready"))
	case "exec":
		var options host.ExecOptions
		flags.IntVar(&options.PID, "pid", 0, "init of the host")
		flags.StringVar(&options.User, "user", "root", "user in the host")
		flags.StringVar(&options.Dir, "dir", "/", "working folder in the host")
		if err := flags.Parse(args); err != nil {
			return 0, err
		}
		return host.Exec(options, flags.Args())
	case "internet":
		var options internet.Options
		options.Register(flags)
		if err := flags.Parse(args); err != nil {
			return 0, err
		}
		return 0, internet.Serve(terminated(), options)
	case "impair":
		var options impair.Options
		options.Register(flags)
		if err := flags.Parse(args); err != nil {
			return 0, err
		}
		return 0, impair.Run(terminated(), options)
	}
	return 0, fmt.Errorf("unknown command %q", command)
}

// terminated is done when the process is asked to end.
func terminated() context.Context {
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	return ctx
}
