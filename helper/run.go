// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/debug"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/authorization"
	"github.com/fairlead-dev/fairlead/helper/localsocket"
	"github.com/fairlead-dev/fairlead/helper/osservice"
	"github.com/fairlead-dev/fairlead/helper/restore"
	"github.com/fairlead-dev/fairlead/helper/server"
	"github.com/fairlead-dev/fairlead/helper/splitdns"
	"github.com/fairlead-dev/fairlead/helper/tunnel"
)

// memoryLimit keeps the process below 200 MB at full rate, in bytes, unless GOMEMLIMIT says otherwise. WireGuard's
// buffers would grow to twice that for a few per cent of throughput.
const memoryLimit = 150 << 20

// run is the command run.
func run(args []string) error {
	var socket, state, policy *string
	var level slog.Level
	set := flags("run", func(set *flag.FlagSet) {
		socket, state = socketFlag(set), stateFlag(set)
		policy = set.String("policy", osservice.Files.Policy, "`file` that names the users and groups who may connect")
		set.TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	})
	if err := parse(set, args); err != nil {
		return err
	}
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(memoryLimit)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	return osservice.Run(func(ctx context.Context) error { return serve(ctx, *socket, *state, *policy, log) })
}

// serve puts back what is left, and then serves until ctx ends.
func serve(ctx context.Context, socket, state, policy string, log *slog.Logger) error {
	journal, err := openJournal(ctx, state, log)
	if err != nil {
		return err
	}
	listener, err := localsocket.Listen(socket)
	if err != nil {
		return errors.Join(err, journal.Close())
	}
	if err := osservice.Ready(); err != nil {
		return errors.Join(err, listener.Close(), journal.Close())
	}
	s := server.New(server.Options{
		Version: version,
		Machine: machine{tunnel.NewMachine(log)},
		Names:   names{journal, log},
		Journal: journal,
		Allowed: func(caller localsocket.Identity) bool { return allowed(caller, policy, log) },
		Log:     log,
	})
	log.Info("serving", "version", version, "socket", socket)
	err = s.Serve(ctx, listener)
	log.Info("stopped")
	return errors.Join(err, journal.Close())
}

// allowed reads the policy anew for each caller, so that a change counts at once.
func allowed(caller localsocket.Identity, path string, log *slog.Logger) bool {
	policy, err := authorization.Load(path)
	if err != nil {
		log.Error("nobody but root is served", "error", err)
	}
	return policy.Allows(caller, authorization.System{})
}

// machine gives the server its tunnel.
type machine struct{ *tunnel.Machine }

func (m machine) Prepare(ctx context.Context) (server.Prepared, error) {
	p, err := m.Machine.Prepare(ctx)
	if err != nil {
		return nil, err
	}
	return prepared{p}, nil
}

type prepared struct{ *tunnel.Prepared }

func (p prepared) Up(ctx context.Context, wanted api.Tunnel, journal *restore.Journal) (server.Tunnel, error) {
	t, err := p.Prepared.Up(ctx, wanted, journal)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// names gives the server its name resolution.
type names struct {
	journal *restore.Journal
	log     *slog.Logger
}

func (n names) Start(ctx context.Context, config splitdns.Config) (server.Resolver, error) {
	s, err := splitdns.Start(ctx, config, n.journal, n.log)
	if err != nil {
		return nil, fmt.Errorf("start name resolution: %w", err)
	}
	return s, nil
}
