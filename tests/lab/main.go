// SPDX-License-Identifier: Apache-2.0

// Command lab is a service that speaks every protocol that an intercept must carry, and the client that checks each of
// them: HTTP/1.1 with its corner cases, h2c, gRPC with each kind of stream, server-sent events, WebSocket, raw TCP and UDP.
// Every answer names the server that gave it, so that a check says both that the bytes are right and who answered. The same
// program serves in a pod and on a laptop.
//
// It owns the two ends of the conversation only. It must not know anything of Kubernetes or of Fairlead: to it, an intercept
// is a request with a header.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	if filepath.Base(os.Args[0]) == "cat" { // images of the lab have it under this name, too
		if err := cat(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "cat:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{Use: "lab", SilenceUsage: true, SilenceErrors: true, Short: "Every protocol, from both ends"}
	root.AddCommand(serveCommand(), checkCommand(), loadCommand(), healthyCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// cat writes files to standard output, as the program of that name does.
func cat(files []string) error {
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		_, err = io.Copy(os.Stdout, file)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}
