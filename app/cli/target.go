// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// targetFlags are the flags that choose a cluster and an identity; they mean what they mean to kubectl.
type targetFlags struct {
	context, namespace, gatewayNamespace, as string
	kubeconfigs, asGroups                    []string
}

// add adds the flags to c; namespace says what --namespace is for, and leaves the flag out if empty.
func (f *targetFlags) add(p *program, c *cobra.Command, namespace string) {
	flags := c.Flags()
	flags.StringVar(&f.context, "context", "", "kubeconfig context (default: the current one)")
	flags.StringSliceVar(&f.kubeconfigs, "kubeconfig", nil, "kubeconfig file; repeat it for several (default: $KUBECONFIG, else ~/.kube/config)")
	flags.StringVar(&f.as, "as", "", "user to impersonate")
	flags.StringSliceVar(&f.asGroups, "as-group", nil, "group to impersonate; repeat it for several")
	flags.StringVar(&f.gatewayNamespace, "gateway-namespace", "", "namespace of the gateway (default: fairlead)")
	complete(c, "context", p.completeContexts(f))
	complete(c, "gateway-namespace", p.completeNamespaces(f))
	if namespace != "" {
		flags.StringVarP(&f.namespace, "namespace", "n", "", namespace)
		complete(c, "namespace", p.completeNamespaces(f))
	}
}

// target returns what the flags and this shell say.
func (f *targetFlags) target() (localapi.Target, error) {
	environment, folder, err := here()
	if err != nil {
		return localapi.Target{}, err
	}
	files, err := absolute(f.kubeconfigs)
	if err != nil {
		return localapi.Target{}, err
	}
	for _, file := range files {
		if _, err := os.Stat(file); err != nil { // kubectl skips a missing file of $KUBECONFIG, but not one named by a flag
			return localapi.Target{}, problem.Wrap(err, problem.Kubeconfig, "Check the name given with --kubeconfig.", "read the kubeconfig")
		}
	}
	return localapi.Target{
		Context: f.context, Namespace: f.namespace, Kubeconfigs: files, As: f.as, AsGroups: f.asGroups,
		GatewayNamespace: f.gatewayNamespace, Environment: environment, WorkingDirectory: folder,
	}, nil
}

// completeWithin bounds how long a shell waits for suggestions.
const completeWithin = 2 * time.Second

type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// complete registers what a shell suggests for a flag.
func complete(c *cobra.Command, flag string, f completion) {
	if err := c.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // the flag does not exist, or has it already: a mistake in this program
	}
}

func fixed(values ...string) completion {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values, cobra.ShellCompDirectiveNoFileComp
	}
}

func (p *program) completeContexts(f *targetFlags) completion {
	return p.suggest(f, func(ctx context.Context, client *localapi.Client, t localapi.Target) ([]string, error) {
		t.Context = ""
		list, err := client.Contexts(ctx, t)
		var names []string
		for _, c := range list.Contexts {
			names = append(names, c.Name)
		}
		return names, err
	})
}

func (p *program) completeNamespaces(f *targetFlags) completion {
	return p.suggest(f, func(ctx context.Context, client *localapi.Client, t localapi.Target) ([]string, error) {
		list, err := client.Namespaces(ctx, t)
		return list.Namespaces, err
	})
}

// suggest asks the daemon. What goes wrong is only a missing suggestion.
func (p *program) suggest(f *targetFlags, ask func(context.Context, *localapi.Client, localapi.Target) ([]string, error)) completion {
	return func(c *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
		defer cancel()
		target, err := f.target()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		client, err := p.client(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names, err := ask(ctx, client, target)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var fitting []string
		for _, name := range names {
			if strings.HasPrefix(name, typed) {
				fitting = append(fitting, name)
			}
		}
		return fitting, cobra.ShellCompDirectiveNoFileComp
	}
}
