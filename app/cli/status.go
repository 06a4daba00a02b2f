// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/session"
)

func (p *program) statusCommand() *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use:     "status",
		GroupID: groupDaily,
		Short:   "Say what is true of the connection now",
		Long: `Say what is true of the connection now. It says "connected" only while the gateway answers.

The exit status is 0 also without a connection: scripts read "state" of --output json.`,
		Example: `  fairlead status
  fairlead status --watch
  fairlead status --output json | jq -r .state`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if watch {
				return p.watchStatus(c.Context())
			}
			return p.status(c.Context())
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and say it again on each change")
	return c
}

func (p *program) status(ctx context.Context) error {
	status := localapi.Status{State: session.Disconnected}
	client, _, err := p.running(ctx)
	if err == nil {
		status, err = client.Status(ctx)
	}
	if err != nil && !errors.Is(err, localapi.ErrNotRunning) {
		return err
	}
	return p.answer(status, func(w io.Writer) { writeStatus(w, status, time.Now()) })
}

// watchStatus follows the status until the user has seen enough, or the daemon ends. It starts a daemon if none runs.
func (p *program) watchStatus(ctx context.Context) error {
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	var last string
	err = client.Watch(ctx, func(s localapi.Status) error {
		if p.output == formatJSON || p.output == formatYAML {
			return p.answerNext(s, nil)
		}
		line := watchLine(s)
		if line == last {
			return nil
		}
		last = line
		_, err := fmt.Fprintf(p.stdout, "%s  %s\n", time.Now().Format(time.TimeOnly), line)
		return err
	})
	if ctx.Err() != nil {
		return nil // Ctrl-C is how a watch ends
	}
	if err == nil {
		p.warn("The daemon has ended.")
	}
	return err
}

// watchLine is the status as one line of a series, without what changes all the time.
func watchLine(s localapi.Status) string {
	s.Carrier.RTT = 0
	line := headline(s)
	if s.State == session.Connected && s.Carrier.Reason != "" {
		line = strings.TrimSuffix(line, ".") + ": " + sentence(s.Carrier.Reason)
	}
	line += interceptsLine(s)
	if s.Problem != nil {
		line += " Problem: " + sentence(s.Problem.Message)
	}
	return line
}

// writeStatus writes a calm block, the truth first.
func writeStatus(w io.Writer, s localapi.Status, now time.Time) {
	fmt.Fprintln(w, headline(s))
	if s.State != session.Disconnected {
		writeFields(w, append(sessionFields(s), trafficFields(s, now)...))
	}
	writeNotes(w, s)
	writeOwnIntercepts(w, s, now)
	if s.Problem != nil {
		fmt.Fprintln(w)
		title := "Problem: "
		if s.State == session.Disconnected {
			title = "The last attempt failed: "
		}
		writeProblem(w, title, s.Problem)
	}
}
