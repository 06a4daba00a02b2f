// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/diagnostics"
)

func (p *program) doctorCommand() *cobra.Command {
	var target targetFlags
	var bundle string
	c := &cobra.Command{
		Use:     "doctor",
		GroupID: groupSetup,
		Short:   "Check everything that a connection needs",
		Long: `Check everything that a connection needs, and say what to do where something is wrong. It changes nothing. While
connected this is about the connection, unless flags say otherwise. The exit status is 1 if a check fails.

With --bundle it writes a zip file with the checks, states and logs that help others to find out what is wrong. Credentials,
keys, certificates, cookies and query strings are left out, and requests that came to this laptop are not in it.`,
		Example: `  fairlead doctor
  fairlead doctor --context staging
  fairlead doctor --bundle fairlead-support.zip
  fairlead doctor --output json | jq '.checks[] | select(.status == "fail")'`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := target.target()
			if err != nil {
				return err
			}
			if bundle != "" {
				return p.bundle(c.Context(), t, bundle)
			}
			return p.doctor(c.Context(), t)
		},
	}
	target.add(p, c, "namespace to connect to (default: the context's)")
	c.Flags().StringVar(&bundle, "bundle", "", "write what helps to find faults into this zip file, or into a folder")
	return c
}

func (p *program) doctor(ctx context.Context, t localapi.Target) error {
	progress := p.begin("Checking")
	defer progress.end()
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	report, err := client.Doctor(ctx, t)
	if err != nil {
		return err
	}
	progress.end()
	if err := p.answer(report, func(w io.Writer) { writeReport(w, report) }); err != nil {
		return err
	}
	if !report.OK {
		return exit(1)
	}
	return nil
}

func writeReport(w io.Writer, report localapi.Report) {
	widest := 0
	for _, check := range report.Checks {
		widest = max(widest, len([]rune(check.Title)))
	}
	count := map[diagnostics.Result]int{}
	for _, check := range report.Checks {
		count[check.Status]++
		fmt.Fprintf(w, "%-4s  %-*s  %s\n", check.Status, widest, check.Title, check.Message)
		if check.Hint != "" && check.Status != diagnostics.OK {
			fmt.Fprintf(w, "      %-*s  Hint: %s\n", widest, "", check.Hint)
		}
	}
	fmt.Fprintln(w)
	switch {
	case count[diagnostics.Fail] > 0:
		fmt.Fprintf(w, "%d of %d checks failed.\n", count[diagnostics.Fail], len(report.Checks))
	case count[diagnostics.Warn] > 0:
		fmt.Fprintf(w, "Nothing stands in the way of a connection; %d of %d checks found something to improve.\n", count[diagnostics.Warn], len(report.Checks))
	default:
		fmt.Fprintln(w, "Nothing stands in the way of a connection.")
	}
}
