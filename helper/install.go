// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/helper/authorization"
	"github.com/fairlead-dev/fairlead/helper/client"
	"github.com/fairlead-dev/fairlead/helper/localsocket"
	"github.com/fairlead-dev/fairlead/helper/osservice"
	"github.com/fairlead-dev/fairlead/helper/restore"
)

// startTimeout is how long a service that was started has to answer.
const startTimeout = 10 * time.Second

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	if value == "" {
		return errors.New("it is empty")
	}
	*l = append(*l, value)
	return nil
}

// install is the command install.
func install(args []string, output io.Writer) error {
	var putOnPath func() error
	policy, err := parsePolicy("install", args, func(set *flag.FlagSet) { putOnPath = pathFlag(set) })
	if err != nil {
		return err
	}
	if len(policy.Users)+len(policy.Groups) == 0 {
		if user := invoker(os.Getenv); user != "" {
			policy.Users = []string{user}
		}
	}
	if len(policy.Users)+len(policy.Groups) == 0 {
		if _, err := os.Stat(osservice.Files.Policy); err != nil {
			return errors.New("nobody but root could connect: name who may, with --user or --group")
		}
	}
	if err := asRoot("install"); err != nil {
		return err
	}
	installer := osservice.Installer{Report: reporter(output)}
	if err := putOnPath(); err != nil {
		return err
	}
	if err := installer.Install(context.Background(), policy); err != nil {
		return err
	}
	return awaitService(output)
}

// allow is the command allow.
func allow(args []string, output io.Writer) error {
	policy, err := parsePolicy("allow", args, func(*flag.FlagSet) {})
	if err != nil {
		return err
	}
	if len(policy.Users)+len(policy.Groups) == 0 {
		return errors.New("name who may connect, with --user or --group")
	}
	if err := asRoot("allow"); err != nil {
		return err
	}
	return osservice.Installer{Report: reporter(output)}.Allow(policy)
}

// parsePolicy reads who is named in the arguments of a command, which may have flags besides.
func parsePolicy(command string, args []string, besides func(*flag.FlagSet)) (authorization.Policy, error) {
	var policy authorization.Policy
	set := flags(command, func(set *flag.FlagSet) {
		set.Var((*list)(&policy.Users), "user", "`name` or number of a user who may connect; may be given several times")
		besides(set)
		set.Var((*list)(&policy.Groups), "group", "`name` or number of a group whose members may connect; may be given several times")
	})
	return policy, parse(set, args)
}

// awaitService returns once the service answers.
func awaitService(output io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		c, err := client.Dial(ctx, localsocket.DefaultPath)
		if err == nil {
			reply, err := c.Version(ctx)
			if err = errors.Join(err, c.Close()); err != nil {
				return fmt.Errorf("the service does not answer as it should: %w", err)
			}
			_, err = fmt.Fprintf(output, "the helper %s answers\n", reply.Version)
			return err
		}
		select { // nothing tells when a service listens
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the service was started and does not answer; its log says why: %w", err)
		}
	}
}

// uninstall is the command uninstall.
func uninstall(args []string, output io.Writer) error {
	if err := parse(flags("uninstall", func(*flag.FlagSet) {}), args); err != nil {
		return err
	}
	if err := asRoot("uninstall"); err != nil {
		return err
	}
	installer := osservice.Installer{Report: reporter(output)}
	return installer.Uninstall(context.Background(), func(ctx context.Context) error {
		journal, err := restore.Open(osservice.Files.State+string(os.PathSeparator)+"journal.json", kinds()...)
		if err != nil && !errors.Is(err, restore.ErrBroken) {
			return err
		}
		return errors.Join(err, journal.UndoAll(ctx), journal.Close())
	})
}

func reporter(output io.Writer) func(string, ...any) {
	return func(format string, args ...any) {
		// Where the output went away there is nobody to tell.
		_, _ = fmt.Fprintf(output, format+"\n", args...)
	}
}
