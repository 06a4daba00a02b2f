// SPDX-License-Identifier: Apache-2.0

// fairlead-sidecar runs beside an app in its pod while the app is intercepted. It has new connections for the app's port
// redirected to itself, and gives each of them, or each request, to the app or to a laptop, as the gateway orders. It needs no
// Kubernetes credentials, and ends without a trace: with the process, every redirect is gone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/sidecar/control"
	"github.com/fairlead-dev/fairlead/agent/sidecar/proxy"
)

// version is set when the program is built.
var version = "0.1.0-dev"

const usage = `Usage:
  fairlead-sidecar --gateway ADDRESS:PORT… --pin PIN [--token-file FILE]   serve the pod this runs in
  fairlead-sidecar ready                                                 the startup probe: waits for the first order, 2 s at most
  fairlead-sidecar version                                               print the version

Environment: FAIRLEAD_CONTAINER, FAIRLEAD_POD_UID, and FAIRLEAD_CREDENTIAL where there is no token.
`

const (
	// What the process may use: more is given back to the system rather than kept. Bytes, and percent (runtime/debug).
	memoryLimit = 24 << 20
	gcPercent   = 100
	// stayLimit is how long the sidecar goes on after SIGTERM, and drainLimit how long connections have to end after it: less
	// than Kubernetes' default of 30 s.
	stayLimit  = 20 * time.Second
	drainLimit = 25 * time.Second
	// drainLeast is for connections that the kernel has handed over but nobody has accepted yet.
	drainLeast = 200 * time.Millisecond
	drainLook  = 100 * time.Millisecond
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run returns the exit status: 0 after an orderly end, 1 after a failure, 2 for wrong arguments.
func run(args []string) int {
	if len(args) > 0 {
		switch args[0] {
		case "version", "--version":
			fmt.Println(version)
			return 0
		case "ready":
			control.WaitReady(os.Getenv("FAIRLEAD_CONTAINER"))
			return 0
		}
	}
	config, err := parse(args, os.Getenv, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fairlead-sidecar:", err)
		return 2
	}
	debug.SetMemoryLimit(memoryLimit)
	debug.SetGCPercent(gcPercent)
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: config.level}))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	serve(ctx, config, log)
	return 0
}

// config is what the command line and the environment say.
type config struct {
	gateway control.Gateway
	level   slog.Level
}

func parse(args []string, getenv func(string) string, output io.Writer) (config, error) {
	c := config{level: slog.LevelWarn}
	flags := flag.NewFlagSet("fairlead-sidecar", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.Usage = func() {
		_, _ = fmt.Fprint(output, usage, "\n")
		flags.PrintDefaults()
	}
	flags.Func("gateway", "`address:port` of the gateway; can be given several times", func(text string) error {
		address, err := netip.ParseAddrPort(text)
		if err == nil {
			c.gateway.Addresses = append(c.gateway.Addresses, address)
		}
		return err
	})
	pinned := false
	flags.Func("pin", "base64url SHA-256 of the public key of the gateway's certificate", func(text string) (err error) {
		c.gateway.Pin, err = control.ParsePin(text)
		pinned = true
		return err
	})
	flags.StringVar(&c.gateway.Identity.TokenFile, "token-file", "", "`file` with a service account token for "+wire.Audience)
	flags.TextVar(&c.level, "log-level", c.level, "debug, info, warn or error")
	if err := flags.Parse(args); err != nil {
		return config{}, err
	}
	identity := &c.gateway.Identity
	identity.PodUID, identity.Container = getenv("FAIRLEAD_POD_UID"), getenv("FAIRLEAD_CONTAINER")
	identity.Credential, identity.Program = getenv("FAIRLEAD_CREDENTIAL"), version
	switch {
	case flags.NArg() > 0:
		return config{}, fmt.Errorf("unknown argument %q", flags.Arg(0))
	case len(c.gateway.Addresses) == 0 || !pinned:
		return config{}, errors.New("--gateway and --pin are needed; the gateway sets them when it adds the sidecar to a pod")
	case identity.Container == "":
		return config{}, errors.New("FAIRLEAD_CONTAINER is not set; it names the sidecar's container")
	case (identity.Credential == "") == (identity.TokenFile == ""):
		return config{}, errors.New("exactly one of --token-file and FAIRLEAD_CREDENTIAL is needed")
	case identity.Credential != "" && identity.PodUID == "":
		return config{}, errors.New("FAIRLEAD_POD_UID is not set, and a credential is for one pod")
	}
	return c, nil
}

// flows is the pool as the proxy wants it.
type flows struct{ *control.Pool }

func (f flows) Open(ctx context.Context, open wire.Open) (proxy.Conn, wire.Answer, error) {
	conn, answer, err := f.Pool.Open(ctx, open)
	if conn == nil {
		return nil, answer, err
	}
	return conn, answer, err
}

// serve works until there is no more work, or the pod ends: SIGTERM comes to all its containers at once, and the app may take
// callers for a while longer (preStop), and some may stay when it has gone. For those the sidecar stays. Then it waits for the
// connections that are open.
func serve(ctx context.Context, config config, log *slog.Logger) {
	born := config.gateway.Identity.TokenFile != ""
	pool := control.NewPool(&config.gateway, log)
	duty := control.NewDuty(control.LinuxKernel(os.DirFS("/proc")), pool, log)
	duty.SetProxy(proxy.New(proxy.Options{Flows: flows{pool}, DialApp: duty.DialApp, Log: log}))
	client := &control.Client{Gateway: &config.gateway, Duty: duty, Pool: pool, Log: log, Stays: born}
	if err := control.ServeReady(ctx, config.gateway.Identity.Container, client.Ordered); err != nil {
		log.Warn("the startup probe waits in vain", "error", err)
	}
	work, end := context.WithCancel(context.Background())
	defer end()
	limit := make(chan struct{})
	context.AfterFunc(ctx, func() {
		time.AfterFunc(drainLimit, func() { close(limit) })
		stay, cancel := context.WithTimeout(work, stayLimit)
		defer cancel()
		duty.Outlast(stay)
		end()
	})
	client.Run(work)
	drain(limit, duty)
	duty.Close()
}

// drain waits until no connection of a caller is left: without limit where the work has ended, because nobody waits, but no
// longer than the pod's end allows.
func drain(limit <-chan struct{}, duty *control.Duty) {
	time.Sleep(drainLeast)
	for duty.Open() > 0 {
		select {
		case <-time.After(drainLook):
		case <-limit:
			return
		}
	}
}
