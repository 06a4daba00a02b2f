// SPDX-License-Identifier: Apache-2.0

// Command traffic is the traffic of a developer's programs, for tests and benchmarks: it runs on the laptop host, talks
// to services of the shop in the ways that programs do, and prints what it saw as one JSON object.
//
// It owns clients and measurements only. It knows nothing of Fairlead: names and addresses are resolved by the system
// like those of any program.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{Use: "traffic", SilenceUsage: true, SilenceErrors: true, Short: "Traffic of a developer's programs"}
	root.AddCommand(streamCommand(), datagramCommand(), grpcCommand(), webSocketCommand(), transferCommand(), requestsCommand(), connectionsCommand(), reuseCommand(), proxyCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "traffic:", err)
		os.Exit(1)
	}
}

// report prints a result as one line of JSON on standard output.
func report(result any) error {
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}
