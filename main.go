// SPDX-License-Identifier: Apache-2.0

//go:build desktop

// Command fairlead-desktop is the window of Fairlead, and its icon in the tray.
//
// This file is wiring only: what they do is in app/desktop and app/tray, and what the window shows is the daemon's page.
// It owns no session and must not do anything on a cluster or on the machine.
package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/fairlead-dev/fairlead/app/desktop"
)

// version is set at link time.
var version = "0.1.0-dev"

func main() {
	environment := os.Environ() // as the user has it
	err := desktop.PrepareEnvironment()
	if err == nil {
		err = run(environment)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fairlead-desktop:", err)
		os.Exit(1)
	}
}

func run(environment []string) error {
	arguments, err := desktop.ParseArguments(os.Args[1:])
	if err != nil {
		return err
	}
	if arguments.Version {
		fmt.Println(version)
		return nil
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return desktop.Run(desktop.Config{Arguments: arguments, Version: version, Environment: environment, Log: log})
}
