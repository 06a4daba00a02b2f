// SPDX-License-Identifier: Apache-2.0

// Command fairlead connects this laptop to a Kubernetes cluster as if it were a pod in it.
//
// The package is the command line face of the local API: it turns arguments into calls, and answers into text, JSON or
// YAML. It owns the words on the terminal and the exit statuses, and the start of the daemon, which is this same
// program. It must not do itself what the API does, or anything that another face could not do.
package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/fairlead-dev/fairlead/app/daemon"
)

// version is set by the linker: -X main.version=1.2.3.
var version = "0.1.0-dev"

func main() {
	os.Exit(run(os.Args[1:], operations))
}

// operations is what the daemon serves.
func operations(log *slog.Logger) (daemon.Operations, error) {
	return daemon.NewOperations(version, log)
}

// run executes one command line and returns the exit status. The daemon, if the command is that, serves operations.
func run(arguments []string, operations func(*slog.Logger) (daemon.Operations, error)) int {
	p := &program{
		version:    version,
		stdin:      os.Stdin,
		stdout:     os.Stdout,
		stderr:     os.Stderr,
		terminal:   isTerminal(os.Stderr),
		operations: operations,
	}
	return p.run(arguments)
}

// program is one run of the command line.
type program struct {
	version        string
	stdin          io.Reader
	stdout, stderr io.Writer
	terminal       bool // standard error is a terminal
	operations     func(*slog.Logger) (daemon.Operations, error)

	output format // what --output says
	quiet  bool   // what --quiet says
}
