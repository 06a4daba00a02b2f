// SPDX-License-Identifier: Apache-2.0

//go:build desktop

// Command fairlead-desktop is the window of Fairlead.
//
// This file is wiring only: what the window does is in app/desktop, and what it shows is the daemon's page. It owns no
// session and must not do anything on a cluster or on the machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/fairlead-dev/fairlead/app/daemon"
	"github.com/fairlead-dev/fairlead/app/desktop"
	"github.com/fairlead-dev/fairlead/app/localapi"
)

func main() {
	if err := desktop.Run(open); err != nil {
		fmt.Fprintln(os.Stderr, "fairlead-desktop:", err)
		os.Exit(1)
	}
}

// open returns an address of the daemon's page; it starts the daemon if none runs.
func open(ctx context.Context) (localapi.Page, error) {
	socket, err := localapi.DefaultSocket()
	if err != nil {
		return localapi.Page{}, err
	}
	client := localapi.NewClient(socket)
	defer client.Close()
	shell := localapi.PageRequest{Environment: os.Environ()}
	page, err := client.Page(ctx, shell)
	if !errors.Is(err, localapi.ErrNotRunning) {
		return page, err
	}
	own, err := os.Executable()
	if err != nil {
		return localapi.Page{}, fmt.Errorf("find this program's file: %w", err)
	}
	program, err := desktop.FindProgram(own)
	if err != nil {
		return localapi.Page{}, err
	}
	if err := daemon.Start(ctx, program, "daemon"); err != nil {
		return localapi.Page{}, err
	}
	return client.Page(ctx, shell)
}
