// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/session"
)

func (p *program) disconnectCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "disconnect",
		GroupID: groupDaily,
		Short:   "Disconnect, and put this laptop back as it was",
		Long: `Disconnect, and put this laptop back as it was: device, routes and name resolution. It returns when that is done.
Without a connection it does nothing.`,
		Example: `  fairlead disconnect`,
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return p.disconnect(c.Context()) },
	}
}

func (p *program) disconnect(ctx context.Context) error {
	progress := p.begin("Disconnecting")
	defer progress.end()
	was, now, err := p.end(ctx)
	if err != nil {
		return err
	}
	progress.end()
	return p.answer(now, func(w io.Writer) {
		if was.State == session.Disconnected {
			fmt.Fprintln(w, "Not connected.")
			return
		}
		fmt.Fprintf(w, "Disconnected from %s.\n", was.Context)
		writeNotes(w, now)
	})
}

// end disconnects, and returns the status before and after.
func (p *program) end(ctx context.Context) (was, now localapi.Status, err error) {
	none := localapi.Status{State: session.Disconnected}
	client, _, err := p.running(ctx)
	if errors.Is(err, localapi.ErrNotRunning) {
		return none, none, nil
	}
	if err != nil {
		return none, none, err
	}
	if was, err = client.Status(ctx); err != nil {
		return none, none, err
	}
	now, err = client.Disconnect(ctx)
	return was, now, err
}
