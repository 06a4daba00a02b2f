// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/session"
)

func (p *program) quitCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "quit",
		GroupID: groupOther,
		Short:   "Disconnect, and end the background program",
		Long: `Disconnect, put this laptop back as it was, and end the daemon: the background program of this user that holds the
connection. The next command that needs it starts it again. Without a session it ends by itself after half an hour.`,
		Example: `  fairlead quit`,
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return p.quit(c.Context()) },
	}
}

func (p *program) quit(ctx context.Context) error {
	progress := p.begin("Disconnecting")
	defer progress.end()
	client, _, err := p.running(ctx)
	ran := err == nil
	var notes []string
	if ran {
		status, disconnectErr := client.Disconnect(ctx)
		if slices.Contains(status.Notes, session.OwedNote) {
			notes = append(notes, "the cluster could not be told of the disconnect; the gateway will forget this laptop by itself after an hour")
		}
		err = errors.Join(disconnectErr, client.Quit(ctx))
	}
	if err != nil && !errors.Is(err, localapi.ErrNotRunning) {
		return err
	}
	progress.end()
	return p.answer(struct {
		Ended bool     `json:"ended"` // a daemon was running
		Notes []string `json:"notes,omitempty"`
	}{ran, notes}, func(w io.Writer) {
		if ran {
			fmt.Fprintln(w, "The daemon has ended; nothing is left of it on this laptop.")
		} else {
			fmt.Fprintln(w, "The daemon was not running.")
		}
		writeNotes(w, localapi.Status{Notes: notes})
	})
}
