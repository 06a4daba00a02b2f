// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

func (p *program) listCommand() *cobra.Command {
	var target targetFlags
	var all bool
	c := &cobra.Command{
		Use:     "list",
		GroupID: groupDaily,
		Short:   "List what runs in the cluster, with ports and state",
		Long: `List Deployments, StatefulSets, DaemonSets and single pods, with their ports, the Services that lead to them, and
their state. While connected this is about the connected cluster and namespace, unless flags say otherwise.`,
		Example: `  fairlead list
  fairlead list --namespace shop
  fairlead list --all-namespaces --output json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if all && target.namespace != "" {
				return problem.New(problem.Usage, "Leave one of them out.", "--namespace and --all-namespaces exclude each other")
			}
			t, err := target.target()
			if err != nil {
				return err
			}
			return p.list(c.Context(), localapi.WorkloadsRequest{Target: t, AllNamespaces: all})
		},
	}
	target.add(p, c, "namespace to list (default: the connected one, else the context's)")
	c.Flags().BoolVarP(&all, "all-namespaces", "A", false, "list all namespaces")
	return c
}

func (p *program) list(ctx context.Context, r localapi.WorkloadsRequest) error {
	progress := p.begin("Listing workloads")
	defer progress.end()
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	found, err := client.Workloads(ctx, r)
	if err != nil {
		return err
	}
	progress.end()
	return p.answer(found, func(w io.Writer) { writeWorkloads(w, found) })
}

func writeWorkloads(w io.Writer, found localapi.Workloads) {
	if len(found.Workloads) == 0 {
		where := "in namespace " + found.Namespace + " of " + found.Context
		if found.Namespace == "" {
			where = "in " + found.Context
		}
		fmt.Fprintf(w, "Nothing runs %s. 'fairlead list -A' lists all namespaces.\n", where)
		return
	}
	intercepted := slices.ContainsFunc(found.Workloads, func(l localapi.Workload) bool { return len(l.Intercepts) > 0 })
	header := []string{"NAMESPACE", "KIND", "NAME", "READY", "PORTS", "SERVICES", "STATE"}
	if intercepted {
		header = append(header, "INTERCEPTED BY")
	}
	var rows [][]string
	for _, l := range found.Workloads {
		state := l.State
		if l.Message != "" {
			state += ": " + l.Message
		}
		row := []string{
			l.Namespace, l.Kind, l.Name, fmt.Sprintf("%d/%d", l.Ready, l.Desired), portList(l), orNone(strings.Join(l.Services, ",")), state,
		}
		if intercepted {
			row = append(row, interceptors(l))
		}
		rows = append(rows, row)
	}
	writeTable(w, header, rows)
}

// interceptors says who intercepts a workload, and what of it.
func interceptors(l localapi.Workload) string {
	var texts []string
	for _, i := range l.Intercepts {
		text := printable(i.User + " (" + i.What + ")")
		if i.Phase != "Active" {
			text += " " + strings.ToLower(i.Phase)
		}
		texts = append(texts, strings.TrimSpace(text))
	}
	return orNone(strings.Join(texts, "; "))
}

func portList(l localapi.Workload) string {
	var texts []string
	for _, port := range l.Ports {
		text := fmt.Sprint(port.Port)
		if port.Name != "" {
			text = port.Name + ":" + text
		}
		if port.Protocol != "" && port.Protocol != "TCP" {
			text += "/" + strings.ToLower(port.Protocol)
		}
		texts = append(texts, text)
	}
	return orNone(strings.Join(texts, ","))
}

func orNone(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
