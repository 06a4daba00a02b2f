// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

func (p *program) requestsCommand() *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use:     "requests [WORKLOAD|NAME]",
		GroupID: groupDaily,
		Short:   "Show the requests that came to this laptop, or were meant to",
		Long: `Show the requests that came to this laptop through intercepts, or were meant to and went to the cluster instead, with the
reason: when, what, the answer and how long it took. Connections that are no HTTP are shown as a whole. Neither headers nor
bodies nor query strings are kept; the background program remembers the last 500 requests while it runs.`,
		Example: `  fairlead requests
  fairlead requests api --follow
  fairlead requests -f --output json | jq 'select(.status >= 500)'`,
		Args: func(_ *cobra.Command, names []string) error {
			if len(names) > 1 {
				return problem.New(problem.Usage, "Leave the name out to see the requests of all.", "'fairlead requests' takes the name of one workload or intercept")
			}
			return nil
		},
		RunE: func(c *cobra.Command, names []string) error {
			return p.requests(c.Context(), strings.Join(names, ""), follow)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on, and show requests as they end")
	c.ValidArgsFunction = p.completeIntercepts(&targetFlags{})
	return c
}

// errEnough ends a watch that has told what was asked.
var errEnough = errors.New("enough")

func (p *program) requests(ctx context.Context, name string, follow bool) error {
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	names, err := interceptsNamed(status.Intercepts, name)
	if err != nil {
		return err
	}
	answer := localapi.Records{Records: []localapi.Record{}}
	told := map[uint64]bool{}
	err = client.WatchRecords(ctx, func(batch localapi.Records) error {
		for _, r := range batch.Records {
			if name != "" && names[r.Intercept] == "" || follow && r.Open && r.Status == 0 || told[r.Number] {
				continue
			}
			if !follow {
				answer.Records = append(answer.Records, r)
				continue
			}
			told[r.Number] = true
			delete(told, r.Number-min(r.Number, 5000)) // nothing so old changes
			if err := p.answerNext(r, func(w io.Writer) { writeRequest(w, r) }); err != nil {
				return err
			}
		}
		if !follow {
			return errEnough
		}
		if batch.Dropped > 0 && !p.quiet {
			p.warn("%d requests are not shown: they came too fast.", batch.Dropped)
		}
		return nil
	})
	switch {
	case errors.Is(err, errEnough):
		return p.answer(answer, func(w io.Writer) { writeRequests(w, answer.Records, status) })
	case ctx.Err() != nil:
		return nil // Ctrl-C is how it ends
	case err == nil:
		p.warn("The daemon has ended.")
	}
	return err
}

// interceptsNamed are the IDs and workloads of the intercepts that go by a name; all for the empty one.
func interceptsNamed(all []localapi.Intercept, name string) (map[string]string, error) {
	found := map[string]string{}
	var there []string
	for _, i := range all {
		there = append(there, i.Name)
		kind, workload, hasKind := strings.Cut(name, "/")
		switch {
		case name == "", name == i.Name, name == i.ID, name == i.Workload.Name, name == i.Namespace+"/"+i.Name,
			hasKind && workload == i.Workload.Name && strings.EqualFold(kind, i.Workload.Kind):
			found[i.ID] = i.Workload.Name
		}
	}
	if name != "" && len(found) == 0 {
		slices.Sort(there)
		p := problem.New(problem.NotFound, "'fairlead intercepts' shows who intercepts what.", "this laptop has no intercept %q", name)
		p.Details = there
		return nil, p
	}
	return found, nil
}

func writeRequests(w io.Writer, records []localapi.Record, status localapi.Status) {
	if len(records) == 0 {
		fmt.Fprintln(w, "No request has come yet.")
		for _, i := range status.Intercepts {
			if i.Curl != "" {
				fmt.Fprintf(w, "Try: %s\n", printable(i.Curl))
				break
			}
		}
		return
	}
	for _, r := range records {
		writeRequest(w, r)
	}
}

// writeRequest writes one request on a line.
func writeRequest(w io.Writer, r localapi.Record) {
	what := r.Method + " " + r.Path
	if r.Method == "" {
		what = fmt.Sprintf("%s in, %s out", size(r.Received), size(r.Sent))
	}
	answer := "-"
	switch {
	case r.GRPC != "":
		answer = r.GRPC
	case r.Status != 0:
		answer = strconv.Itoa(r.Status)
	}
	took := time.Duration(r.Millis * float64(time.Millisecond)).Round(100 * time.Microsecond).String()
	if r.Open {
		took = "open"
	}
	if r.Went == "cluster" {
		took = "-"
	}
	fmt.Fprintf(w, "%s  %-9s  %-5s  %8s  %-7s  %s", r.Time.Local().Format("15:04:05.000"), r.Protocol, answer, took, r.Went, printable(what))
	if r.Client != "" {
		fmt.Fprintf(w, "  from %s", printable(r.Client))
	}
	if r.Why != "" {
		fmt.Fprintf(w, "  (%s)", printable(r.Why))
	}
	fmt.Fprintln(w)
}
