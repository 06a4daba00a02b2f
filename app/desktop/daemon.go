// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/fairlead-dev/fairlead/app/daemon"
	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// LocalDaemon is the daemon of this user on this machine.
type LocalDaemon struct {
	client      *localapi.Client
	version     string
	environment []string
}

// NewLocalDaemon returns the daemon that listens on socket, whether it runs or not. version is the window's own, and
// environment is what kubeconfigs and credential plugins are found by.
func NewLocalDaemon(socket, version string, environment []string) *LocalDaemon {
	return &LocalDaemon{client: localapi.NewClient(socket), version: version, environment: environment}
}

// Start starts a daemon where none runs, and replaces one of another version that is not in use: it is what an upgrade
// has left behind. One that holds a connection stays, and its page and the tray go on working with it.
func (d *LocalDaemon) Start(ctx context.Context) error {
	v, err := d.client.Version(ctx)
	switch {
	case errors.Is(err, localapi.ErrNotRunning):
		return d.start(ctx)
	case err != nil || v.Version == d.version:
		return err
	}
	status, err := d.client.Status(ctx)
	if err != nil || status.State != session.Disconnected {
		return err
	}
	if err := d.client.Quit(ctx); err != nil {
		return err
	}
	d.client.Close()
	return d.start(ctx)
}

func (d *LocalDaemon) start(ctx context.Context) error {
	own, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's file: %w", err)
	}
	program, err := FindProgram(own)
	if err != nil {
		return err
	}
	return daemon.Start(ctx, program, "daemon")
}

// Page returns an address that opens the page once; it starts a daemon where none runs.
func (d *LocalDaemon) Page(ctx context.Context) (localapi.Page, error) {
	if err := d.Start(ctx); err != nil {
		return localapi.Page{}, err
	}
	return d.client.Page(ctx, localapi.PageRequest{Environment: d.environment})
}

// WatchSnapshots calls each with the daemon's snapshots, until ctx is done or the daemon ends.
func (d *LocalDaemon) WatchSnapshots(ctx context.Context, each func(localapi.Snapshot) error) error {
	return d.client.WatchSnapshots(ctx, each)
}

// Contexts are those of the kubeconfig that the window's environment names.
func (d *LocalDaemon) Contexts(ctx context.Context) ([]localapi.Context, error) {
	found, err := d.client.Contexts(ctx, localapi.Target{Environment: d.environment})
	return found.Contexts, err
}

// Connect connects to a context, and returns when connected.
func (d *LocalDaemon) Connect(ctx context.Context, name string) error {
	_, err := d.client.Connect(ctx, localapi.ConnectRequest{Context: name, Environment: d.environment})
	return err
}

// Disconnect returns when everything is put back.
func (d *LocalDaemon) Disconnect(ctx context.Context) error {
	_, err := d.client.Disconnect(ctx)
	return err
}

// Leave ends an intercept of this laptop, and returns when everything is put back.
func (d *LocalDaemon) Leave(ctx context.Context, namespace, name string) error {
	_, err := d.client.Leave(ctx, localapi.LeaveRequest{Target: localapi.Target{Namespace: namespace}, Names: []string{name}})
	return err
}
