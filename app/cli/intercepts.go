// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/intercept"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

func (p *program) interceptsCommand() *cobra.Command {
	var target targetFlags
	var r localapi.InterceptsRequest
	c := &cobra.Command{
		Use:     "intercepts",
		GroupID: groupDaily,
		Short:   "Show who intercepts what",
		Long: `Show the intercepts of everybody in a namespace, or in all: whose, of what, since when, how many requests have come,
and how they are. While connected this is about the connected cluster and namespace, unless flags say otherwise.`,
		Example: `  fairlead intercepts
  fairlead intercepts -A
  fairlead intercepts --mine --output json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if r.AllNamespaces && target.namespace != "" {
				return problem.New(problem.Usage, "Leave one of them out.", "--namespace and --all-namespaces exclude each other")
			}
			t, err := target.target()
			if err != nil {
				return err
			}
			r.Target = t
			return p.intercepts(c.Context(), r)
		},
	}
	target.add(p, c, "namespace to look at (default: the connected one, else the context's)")
	c.Flags().BoolVarP(&r.AllNamespaces, "all-namespaces", "A", false, "look at all namespaces")
	c.Flags().BoolVar(&r.Mine, "mine", false, "show your own only")
	return c
}

func (p *program) intercepts(ctx context.Context, r localapi.InterceptsRequest) error {
	progress := p.begin("Listing intercepts")
	defer progress.end()
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	found, err := client.Intercepts(ctx, r)
	if err != nil {
		return err
	}
	progress.end()
	return p.answer(found, func(w io.Writer) { writeIntercepts(w, found, time.Now()) })
}

func writeIntercepts(w io.Writer, found localapi.Intercepts, now time.Time) {
	if len(found.Intercepts) == 0 {
		where := "in namespace " + found.Namespace + " of " + found.Context
		if found.Namespace == "" {
			where = "in " + found.Context
		}
		fmt.Fprintf(w, "Nobody intercepts anything %s.\n", where)
		return
	}
	var rows [][]string
	for _, i := range found.Intercepts {
		since := "-"
		if i.Since != nil {
			since = ago(now.Sub(*i.Since))
		}
		expires := "-"
		if i.Expires != nil {
			expires = ago(max(i.Expires.Sub(now), 0))
		}
		rows = append(rows, []string{
			i.Namespace, i.Name, printable(owner(i)), workloadName(i), ports(i), printable(intercept.What(i)), interceptState(i),
			fmt.Sprintf("%d/%d", i.PodsCovered, i.PodsReady), fmt.Sprintf("%d/%d/%d", i.Counts.Matched, i.Counts.Passed, i.Counts.FallenBack), since, expires,
		})
	}
	writeTable(w, []string{"NAMESPACE", "NAME", "USER", "WORKLOAD", "PORTS", "REQUESTS", "STATE", "PODS", "MATCHED/PASSED/BACK", "SINCE", "EXPIRES IN"}, rows)
	for _, i := range found.Intercepts {
		if i.Phase != "Active" && i.Message != "" {
			fmt.Fprintf(w, "\n%s: %s\n", i.Name, printable(sentence(i.Message)))
		}
		for _, note := range i.Notes {
			fmt.Fprintf(w, "\n%s: %s\n", i.Name, printable(sentence(note)))
		}
	}
}

// owner is whose an intercept is.
func owner(i localapi.Intercept) string {
	if i.Mine {
		return i.User + " (here)"
	}
	return i.User
}

// ports lists ports and where they go.
func ports(i localapi.Intercept) string {
	var texts []string
	for _, port := range i.Ports {
		text := fmt.Sprint(port.Port)
		if port.Protocol == "UDP" {
			text += "/udp"
		}
		if port.Local != "" {
			text += ">" + printable(port.Local)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ",")
}

// interceptState is the phase in one word or two.
func interceptState(i localapi.Intercept) string {
	state := strings.ToLower(i.Phase)
	if state == "" {
		state = "pending"
	}
	if i.Phase == "Active" {
		for _, port := range i.Ports {
			if !port.Listening {
				return state + ", nothing listens"
			}
		}
	}
	return state
}

// printable is a text of somebody else's without what would make a terminal do things.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}

func (p *program) leaveCommand() *cobra.Command {
	var target targetFlags
	var r localapi.LeaveRequest
	c := &cobra.Command{
		Use:     "leave [WORKLOAD|NAME]…",
		GroupID: groupDaily,
		Short:   "Leave intercepts, so that all traffic goes to the app again",
		Long: `Leave intercepts of yours, by the name of the workload or of the intercept. It returns when everything is put back.
Without a name it is the only one of this laptop.

With --owner it is another user's, for who has the right: Kubernetes lets only the administrators of the gateway do that.`,
		Example: `  fairlead leave api
  fairlead leave deployment/api web
  fairlead leave --all
  fairlead leave api --owner bob`,
		RunE: func(c *cobra.Command, names []string) error {
			if r.All && len(names) > 0 {
				return problem.New(problem.Usage, "Leave one of them out.", "--all and names exclude each other")
			}
			t, err := target.target()
			if err != nil {
				return err
			}
			r.Target, r.Names = t, names
			return p.leave(c.Context(), r)
		},
	}
	target.add(p, c, "namespace of the intercepts (default: any of this laptop's, else the connected one)")
	c.Flags().BoolVar(&r.All, "all", false, "leave all of this laptop's, or of --owner in the namespace")
	c.Flags().StringVar(&r.Owner, "owner", "", "leave those of this user instead of yours")
	c.ValidArgsFunction = p.completeIntercepts(&target)
	complete(c, "owner", cobra.NoFileCompletions)
	return c
}

func (p *program) leave(ctx context.Context, r localapi.LeaveRequest) error {
	progress := p.begin("Leaving")
	defer progress.end()
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	left, err := client.Leave(ctx, r)
	if err != nil {
		return err
	}
	progress.end()
	return p.answer(left, func(w io.Writer) {
		if len(left.Left) == 0 {
			fmt.Fprintln(w, "There is nothing to leave.")
		}
		for _, i := range left.Left {
			whose := ""
			if r.Owner != "" {
				whose = printable(i.User) + "'s "
			}
			fmt.Fprintf(w, "Left %sintercept %s of %s/%s.\n", whose, i.Name, strings.ToLower(i.Workload.Kind), i.Workload.Name)
			for _, note := range i.Notes {
				fmt.Fprintf(w, "  %s\n", printable(sentence(note)))
			}
		}
	})
}

// writeOwnIntercepts says in a status what comes to this laptop.
func writeOwnIntercepts(w io.Writer, s localapi.Status, now time.Time) {
	for _, i := range s.Intercepts {
		fmt.Fprintf(w, "\n%s\n", interceptHeadline(i))
		if i.Phase == "Ended" {
			continue
		}
		writeFields(w, interceptFields(i, now))
		for _, note := range i.Notes {
			fmt.Fprintf(w, "  Note: %s\n", sentence(note))
		}
	}
}

// interceptsLine is what comes to this laptop, for a line of a series; empty for nothing.
func interceptsLine(s localapi.Status) string {
	var parts []string
	for _, i := range s.Intercepts {
		parts = append(parts, i.Workload.Name+" "+interceptState(i))
	}
	if len(parts) == 0 {
		return ""
	}
	return " Intercepts: " + strings.Join(parts, "; ") + "."
}

// warnLeft says which intercepts a new connection has cost.
func (p *program) warnLeft(was, now localapi.Status) {
	for _, i := range was.Intercepts {
		kept := slices.ContainsFunc(now.Intercepts, func(k localapi.Intercept) bool { return k.ID == i.ID })
		if !kept && i.Phase != "Ended" {
			p.warn("The connection before was ended, and with it the intercept of %s was left.", workloadName(i))
		}
	}
}
