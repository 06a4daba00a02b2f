// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/daemon"
	"github.com/fairlead-dev/fairlead/app/localapi"
)

// daemonName is the command that is the daemon.
const daemonName = "daemon"

// garbagePercent is how much garbage the daemon keeps, in percent of what it uses (runtime/debug.SetGCPercent). A relay
// at full rate makes much of it: half the usual costs 4 MB less and no measurable speed.
const garbagePercent = 50

func (p *program) daemonCommand() *cobra.Command {
	return &cobra.Command{
		Use:    daemonName,
		Hidden: true,
		Short:  "Hold the connection and serve the local API",
		Long: `Hold the connection of this user and serve the local API. Other commands start it when they need it; it ends with
'fairlead quit', or by itself half an hour after it was last needed. It writes one line of JSON when it is ready.

  FAIRLEAD_DAEMON_SOCKET  where it serves, and where other commands look for it
  FAIRLEAD_DAEMON_LOG     its log file
  FAIRLEAD_LOG            debug makes the log say more`,
		Example: `  fairlead daemon`,
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return p.daemon(c.Context()) },
	}
}

func (p *program) daemon(ctx context.Context) error {
	err := p.serve(ctx)
	if errors.Is(err, daemon.ErrRunning) {
		return nil
	}
	return err
}

func (p *program) serve(ctx context.Context) (err error) {
	announced := false
	announce := func(err error) {
		if !announced {
			announced = true
			daemon.Announce(os.Stdout, err)
		}
	}
	defer func() { announce(err) }()
	socket, err := localapi.DefaultSocket()
	if err != nil {
		return err
	}
	path, err := daemon.LogFile()
	if err != nil {
		return err
	}
	log, closer, err := daemon.OpenLog(path)
	if err != nil {
		return err
	}
	defer closer.Close()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	err = daemon.Run(ctx, daemon.Config{
		Version:    p.version,
		Socket:     socket,
		LogFile:    path,
		Log:        log,
		Operations: func() (daemon.Operations, error) { return p.operations(log) },
		Ready:      func() { announce(nil) },
	})
	if err != nil && !errors.Is(err, daemon.ErrRunning) {
		log.Error("ended", "error", err)
	}
	return err
}
