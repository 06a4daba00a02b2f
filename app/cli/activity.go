// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

func (p *program) activityCommand() *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use:     "activity",
		GroupID: groupDaily,
		Short:   "Say what happened lately, and what is wrong now",
		Long: `Say what happened lately, the newest last, and what is wrong now, with what mends it. The background program keeps the
last 200 events while it runs.`,
		Example: `  fairlead activity
  fairlead activity --watch
  fairlead activity --output json | jq -r '.activity[].text'`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if watch {
				return p.watchActivity(c.Context())
			}
			return p.activity(c.Context())
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and say what happens as it does")
	return c
}

// activityAnswer is what the command answers.
type activityAnswer struct {
	Problems []localapi.Trouble `json:"problems"`
	Activity []localapi.Event   `json:"activity"` // the newest first
}

func (p *program) activity(ctx context.Context) error {
	answer := activityAnswer{Problems: []localapi.Trouble{}, Activity: []localapi.Event{}}
	client, _, err := p.running(ctx)
	if err == nil {
		var s localapi.Snapshot
		s, err = client.Snapshot(ctx)
		answer = activityAnswer{s.Problems, s.Activity}
	}
	if err != nil && !errors.Is(err, localapi.ErrNotRunning) {
		return err
	}
	return p.answer(answer, func(w io.Writer) { writeActivity(w, answer, time.Now()) })
}

// watchActivity says what happens until the user has seen enough, or the daemon ends.
func (p *program) watchActivity(ctx context.Context) error {
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	last := uint64(0)
	err = client.WatchSnapshots(ctx, func(s localapi.Snapshot) error {
		for _, e := range slices.Backward(s.Activity) {
			if e.ID <= last {
				continue
			}
			last = e.ID
			if err := p.answerNext(e, func(w io.Writer) { writeEvent(w, e, time.Now()) }); err != nil {
				return err
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil // Ctrl-C is how a watch ends
	}
	if err == nil {
		p.warn("The daemon has ended.")
	}
	return err
}

func writeActivity(w io.Writer, a activityAnswer, now time.Time) {
	if len(a.Activity) == 0 {
		fmt.Fprintln(w, "Nothing has happened yet.")
	}
	for _, e := range slices.Backward(a.Activity) {
		writeEvent(w, e, now)
	}
	for _, t := range a.Problems {
		fmt.Fprintln(w)
		problem := t.Problem
		writeProblem(w, "Problem: ", &problem)
		if t.Fix != nil && t.Fix.Command != "" {
			fmt.Fprintf(w, "Run: %s\n", t.Fix.Command)
		}
	}
}

// writeEvent writes what happened on a line, with the day where that was another one.
func writeEvent(w io.Writer, e localapi.Event, now time.Time) {
	layout, at := time.TimeOnly, e.Time.Local()
	if now = now.Local(); at.YearDay() != now.YearDay() || at.Year() != now.Year() {
		layout = time.DateTime
	}
	fmt.Fprintf(w, "%s  %s\n", at.Format(layout), e.Text)
}
