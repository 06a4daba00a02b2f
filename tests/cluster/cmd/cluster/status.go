// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/fairlead-dev/fairlead/tests/cluster"
	"github.com/fairlead-dev/fairlead/tests/cluster/host"
)

// printStatus lists the hosts with their addresses, and what each runs.
func printStatus(ctx context.Context, to io.Writer, up *cluster.Cluster) error {
	table := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	config := up.Config()
	fmt.Fprintf(to, "cluster %s: %s, resolver %s, state in %s\n", config.Name, config.Family, config.Resolver, up.Folder())
	fmt.Fprintln(table, "HOST\tPID\tADDRESSES\tRUNS")
	row := func(member cluster.Member, from *host.Host) error {
		components, err := from.Components(ctx)
		if err != nil {
			return err
		}
		var runs, addresses []string
		for _, component := range components {
			text := component.Name
			if !component.Running {
				text += " (" + component.Exit + ", log " + component.Log + ")"
			}
			runs = append(runs, text)
		}
		for _, address := range member.Addresses() {
			addresses = append(addresses, address.String())
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", member.Name, from.PID, strings.Join(addresses, " "), strings.Join(runs, " "))
		return nil
	}
	if err := row(up.Plan().Router, up.Internet()); err != nil {
		return err
	}
	for i := range up.Nodes() {
		if err := row(up.Node(i).Member, up.Node(i).Host); err != nil {
			return err
		}
	}
	for i := range up.Laptops() {
		if err := row(up.Laptop(i).Member, up.Laptop(i).Host); err != nil {
			return err
		}
	}
	return table.Flush()
}
