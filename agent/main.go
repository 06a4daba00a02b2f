// SPDX-License-Identifier: Apache-2.0

// fairlead-agent is what runs inside a cluster. Its one command, gateway, is where laptops connect. This is wiring only: flags,
// signals and the exit status; package gateway does the work.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/fairlead-dev/fairlead/agent/gateway"
)

// version is set when the program is built.
var version = "0.1.0-dev"

const usage = `Usage:
  fairlead-agent gateway [flags]   the gateway; the chart's Deployment runs it
  fairlead-agent version           print the version
`

func main() {
	os.Exit(run(os.Args[1:]))
}

// run returns the exit status: 0 after an orderly end, 1 after a failure, 2 for wrong arguments.
func run(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	switch args[0] {
	case "version", "--version":
		fmt.Println(version)
		return 0
	case "help", "--help", "-h":
		fmt.Print(usage)
		return 0
	case "gateway":
		return runGateway(args[1:])
	}
	fmt.Fprintf(os.Stderr, "unknown command %q\n%s", args[0], usage)
	return 2
}

func runGateway(args []string) int {
	config, err := gateway.ParseConfig(version, args, os.Getenv, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fairlead-agent gateway:", err)
		return 2
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: config.LogLevel}))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := gateway.Run(ctx, config, log); err != nil {
		log.Error("the gateway ended", "error", err)
		return 1
	}
	return 0
}
