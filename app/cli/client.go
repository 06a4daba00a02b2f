// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fairlead-dev/fairlead/app/daemon"
	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// running returns a client of the daemon that runs, or an error that is localapi.ErrNotRunning. It does not mind which
// version that is.
func (p *program) running(ctx context.Context) (*localapi.Client, localapi.Version, error) {
	socket, err := localapi.DefaultSocket()
	if err != nil {
		return nil, localapi.Version{}, err
	}
	client := localapi.NewClient(socket)
	v, err := client.Version(ctx)
	if err != nil {
		client.Close()
		return nil, localapi.Version{}, err
	}
	return client, v, nil
}

// client returns a client of a daemon of this version; it starts one if none runs, and replaces one of another version
// unless that is busy.
func (p *program) client(ctx context.Context) (*localapi.Client, error) {
	client, v, err := p.running(ctx)
	switch {
	case errors.Is(err, localapi.ErrNotRunning):
		return p.start(ctx)
	case err != nil:
		return nil, err
	case v.Version == p.version:
		return client, nil
	}
	status, err := client.Status(ctx)
	if err != nil {
		return nil, err
	}
	if status.State == session.Disconnected {
		if err := client.Quit(ctx); err != nil {
			return nil, err
		}
		client.Close()
		return p.start(ctx)
	}
	if !localapi.Compatible(v.Version, p.version) {
		return nil, problem.New(problem.DaemonVersion, "Run 'fairlead quit', which disconnects, then the command again.",
			"the running daemon is version %s, this is %s, and it holds a connection", v.Version, p.version)
	}
	p.warn("The running daemon is version %s, this is %s. 'fairlead quit' ends it, and the connection, so that the next command starts this version.",
		v.Version, p.version)
	return client, nil
}

// start starts the daemon and returns a client of it.
func (p *program) start(ctx context.Context) (*localapi.Client, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file: %w", err)
	}
	if err := daemon.Start(ctx, program, daemonName); err != nil {
		return nil, err
	}
	client, _, err := p.running(ctx)
	return client, err
}

// warn tells people something beside the answer.
func (p *program) warn(format string, args ...any) {
	if !p.quiet {
		fmt.Fprintf(p.stderr, "Note: "+format+"\n", args...)
	}
}

// here returns the environment and folder of this program, so that the daemon meets the kubeconfig as kubectl would in
// this shell.
func here() (environment []string, folder string, err error) {
	folder, err = os.Getwd()
	if err != nil {
		return nil, "", fmt.Errorf("find the current folder: %w", err)
	}
	return os.Environ(), folder, nil
}

// absolute returns the files with their full names.
func absolute(files []string) ([]string, error) {
	var names []string
	for _, list := range files {
		for _, file := range filepath.SplitList(list) {
			name, err := filepath.Abs(file)
			if err != nil {
				return nil, fmt.Errorf("find %s: %w", file, err)
			}
			names = append(names, name)
		}
	}
	return names, nil
}
