// SPDX-License-Identifier: Apache-2.0

// Command fairlead-helper is the one part of Fairlead that runs with privilege: a service that makes the tunnel, its
// routes and its names for users of this machine, and puts everything back.
//
// This package is wiring: flags, and which package implements what another needs. It takes no path, address or command
// from callers of the service.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fairlead-dev/fairlead/helper/localsocket"
	"github.com/fairlead-dev/fairlead/helper/osservice"
	"github.com/fairlead-dev/fairlead/helper/restore"
	"github.com/fairlead-dev/fairlead/helper/splitdns"
	"github.com/fairlead-dev/fairlead/helper/tunnel"
)

// version is set when the program is linked.
var version = "0.1.0-dev"

const usage = `fairlead-helper makes the tunnel of Fairlead. It runs as a service, as root.

  fairlead-helper [run]         serve the users of this machine; this is what the service manager starts
  fairlead-helper install       install and start the service for the user who calls sudo (--user, --group for others)
  fairlead-helper allow         add users (--user) and groups (--group) to those who may connect
  fairlead-helper uninstall     stop and remove the service and everything that it made
  fairlead-helper restore       put back what a helper that was killed left changed on this machine
  fairlead-helper version       print the version

Flags of a command: fairlead-helper <command> -h
`

func main() {
	if err := command(os.Args[1:], os.Stdout); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(2)
		}
		fmt.Fprintln(os.Stderr, "fairlead-helper: "+err.Error())
		os.Exit(1)
	}
}

// command runs the command that args name.
func command(args []string, output io.Writer) error {
	name := "run"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	} else if len(args) > 0 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
		name = "help"
	}
	switch name {
	case "run":
		return run(args)
	case "restore":
		return putBack(args, output)
	case "install":
		return install(args, output)
	case "allow":
		return allow(args, output)
	case "uninstall":
		return uninstall(args, output)
	case "version":
		_, err := fmt.Fprintln(output, version)
		return err
	case "help":
		_, err := io.WriteString(output, usage)
		return err
	default:
		return fmt.Errorf("there is no command %q; try: fairlead-helper help", name)
	}
}

// flags makes the flags of a command. No command takes arguments besides.
func flags(name string, define func(*flag.FlagSet)) *flag.FlagSet {
	set := flag.NewFlagSet("fairlead-helper "+name, flag.ContinueOnError)
	define(set)
	return set
}

func parse(set *flag.FlagSet, args []string) error {
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w; try: %s -h", err, set.Name())
	}
	if set.NArg() > 0 {
		return fmt.Errorf("%q is one argument too many; try: %s -h", set.Arg(0), set.Name())
	}
	return nil
}

func stateFlag(set *flag.FlagSet) *string {
	return set.String("state-dir", osservice.Files.State, "`folder` of the journal of changes")
}

// kinds are all the changes that the journal may hold.
func kinds() []restore.Kind { return append(tunnel.Kinds(), splitdns.Kinds()...) }

// openJournal opens the journal and puts back what an earlier process left.
func openJournal(ctx context.Context, stateDir string, log *slog.Logger) (*restore.Journal, error) {
	journal, err := restore.Open(filepath.Join(stateDir, "journal.json"), kinds()...)
	if errors.Is(err, restore.ErrBroken) {
		log.Error("read the journal", "error", err)
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if left := journal.Entries(); len(left) > 0 {
		log.Info("putting back what an earlier helper left", "changes", len(left))
	}
	if err := journal.UndoAll(ctx); err != nil {
		log.Error("put back what an earlier helper left", "error", err)
	}
	return journal, nil
}

// putBack is the command restore.
func putBack(args []string, output io.Writer) error {
	var state *string
	if err := parse(flags("restore", func(set *flag.FlagSet) { state = stateFlag(set) }), args); err != nil {
		return err
	}
	journal, err := restore.Open(filepath.Join(*state, "journal.json"), kinds()...)
	if errors.Is(err, restore.ErrInUse) {
		return fmt.Errorf("the helper is running, and puts everything back itself when the user disconnects; " +
			"to force it, restart the service fairlead-helper")
	}
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w; run it as root: sudo fairlead-helper restore", err)
	}
	if err != nil && !errors.Is(err, restore.ErrBroken) {
		return err
	}
	broken := err
	count := len(journal.Entries())
	err = errors.Join(broken, journal.UndoAll(context.Background()), journal.Close())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(output, "%d changes put back\n", count)
	return err
}

// socketFlag is where the helper listens.
func socketFlag(set *flag.FlagSet) *string {
	return set.String("socket", localsocket.DefaultPath, "`path` to listen on")
}
