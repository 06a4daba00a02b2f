// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

// completeWorkloads suggests workloads by name for the first argument.
func (p *program) completeWorkloads(namespace *string) completion {
	return func(c *cobra.Command, arguments []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(arguments) > 0 {
			return nil, cobra.ShellCompDirectiveDefault // a command behind --
		}
		flags := &targetFlags{namespace: *namespace}
		return p.suggest(flags, func(ctx context.Context, client *localapi.Client, t localapi.Target) ([]string, error) {
			found, err := client.Workloads(ctx, localapi.WorkloadsRequest{Target: t})
			var names []string
			for _, w := range found.Workloads {
				names = append(names, w.Name)
			}
			return names, err
		})(c, arguments, typed)
	}
}

// completePorts suggests the ports of the workload that was named, behind the local port if that is typed.
func (p *program) completePorts(namespace *string) completion {
	return func(c *cobra.Command, arguments []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(arguments) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		flags := &targetFlags{namespace: *namespace}
		return p.suggest(flags, func(ctx context.Context, client *localapi.Client, t localapi.Target) ([]string, error) {
			found, err := client.Workloads(ctx, localapi.WorkloadsRequest{Target: t})
			return portsNamed(found.Workloads, arguments[0], typed), err
		})(c, arguments, typed)
	}
}

// portsNamed are the ports of workloads with a name, each behind the local port that is typed, or else behind one of its own number.
func portsNamed(workloads []localapi.Workload, name, typed string) (names []string) {
	local, _, chosen := strings.Cut(typed, ":")
	for _, w := range workloads {
		if w.Name != name {
			continue
		}
		for _, port := range w.Ports {
			if !chosen {
				local = strconv.Itoa(int(port.Port))
			}
			names = append(names, fmt.Sprintf("%s:%d", local, port.Port))
			if port.Name != "" {
				names = append(names, local+":"+port.Name)
			}
		}
	}
	return names
}

// completeIntercepts suggests what this laptop intercepts.
func (p *program) completeIntercepts(flags *targetFlags) completion {
	return p.suggest(flags, func(ctx context.Context, client *localapi.Client, _ localapi.Target) ([]string, error) {
		status, err := client.Status(ctx)
		var names []string
		for _, i := range status.Intercepts {
			names = append(names, i.Workload.Name, i.Name)
		}
		return names, err
	})
}
