// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

func (p *program) connectCommand() *cobra.Command {
	var target targetFlags
	var options session.Options
	carrier := carrierFlag(session.CarrierAuto)
	c := &cobra.Command{
		Use:     "connect",
		GroupID: groupDaily,
		Short:   "Connect this laptop to a cluster",
		Long: `Connect this laptop to the cluster of the current kubeconfig context. Services and pods then answer by name and by
address, as they do inside a pod of the namespace.

While connected to the same cluster with the same options, it changes nothing; with others, it connects anew.
Ctrl-C cancels, and puts everything back.`,
		Example: `  fairlead connect
  fairlead connect --context staging --namespace shop
  fairlead connect --carrier relay               # where UDP is known to be blocked
  fairlead connect --include 10.20.0.0/16        # what only the cluster reaches
  fairlead connect --map-conflicts               # where the cluster has the addresses of your own network`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := target.target()
			if err != nil {
				return err
			}
			options.Context, options.Namespace, options.Kubeconfigs = t.Context, t.Namespace, t.Kubeconfigs
			options.As, options.AsGroups, options.GatewayNamespace = t.As, t.AsGroups, t.GatewayNamespace
			options.Environment, options.WorkingDirectory = t.Environment, t.WorkingDirectory
			if c.Flags().Changed("carrier") {
				options.Carrier = session.CarrierMode(carrier) // else what the settings say
			}
			for name, prefixes := range map[string][]string{"include": options.Include, "exclude": options.Exclude} {
				if err := checkPrefixes(name, prefixes); err != nil {
					return err
				}
			}
			return p.connect(c.Context(), options)
		},
	}
	target.add(p, c, "namespace that short names are in (default: the context's)")
	flags := c.Flags()
	flags.Var(&carrier, "carrier", "how packets travel: auto, udp or relay")
	flags.StringSliceVar(&options.Include, "include", nil, "address or range to reach through the cluster besides its own; repeat it for several")
	flags.StringSliceVar(&options.Exclude, "exclude", nil, "address or range to leave out; repeat it for several")
	flags.BoolVar(&options.MapConflicts, "map-conflicts", false, "reach cluster ranges that clash with a network of this laptop under other addresses")
	complete(c, "carrier", fixed(string(session.CarrierAuto), string(session.CarrierUDP), string(session.CarrierRelay)))
	complete(c, "include", cobra.NoFileCompletions)
	complete(c, "exclude", cobra.NoFileCompletions)
	return c
}

// connect connects and says what can be done now.
func (p *program) connect(ctx context.Context, options session.Options) error {
	progress := p.begin("Connecting")
	defer progress.end()
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	was, err := client.Status(ctx)
	if err != nil {
		return err
	}
	following, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_ = client.Watch(following, func(s localapi.Status) error { progress.say(s.Step); return nil })
	}()
	defer context.AfterFunc(ctx, func() { progress.say("Cancelling") })()
	var around <-chan localapi.Workloads
	if p.output == formatText {
		around = lookAround(following, client, options)
	}
	status, err := client.Connect(ctx, options)
	if err != nil {
		return err
	}
	return p.answer(status, func(w io.Writer) {
		try := example(around, status)
		progress.end()
		p.warnLeft(was, status)
		writeConnected(w, status, try)
	})
}

// checkPrefixes refuses what is neither an address nor a range.
func checkPrefixes(flag string, texts []string) error {
	for _, text := range texts {
		if _, err := netip.ParseAddr(text); err == nil {
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return problem.New(problem.Usage, "Give an address such as 10.1.2.3, or a range such as 10.1.0.0/16.",
				"--%s %q is neither an address nor a range", flag, text)
		}
		if prefix != prefix.Masked() {
			return problem.New(problem.Usage, fmt.Sprintf("Did you mean %s?", prefix.Masked()),
				"--%s %q is not a range: it has bits set behind the first %d", flag, text, prefix.Bits())
		}
	}
	return nil
}

// writeConnected says who is connected where, what can be reached, and how to see it: with the command try, if there is
// one.
func writeConnected(w io.Writer, s localapi.Status, try string) {
	fmt.Fprintln(w, headline(s))
	writeFields(w, sessionFields(s))
	writeNotes(w, s)
	fmt.Fprintln(w, "\nTry:")
	if try != "" {
		fmt.Fprintf(w, "  %s\n", try)
	}
	fmt.Fprintln(w, "  fairlead list")
}

// carrierFlag is --carrier.
type carrierFlag session.CarrierMode

func (f *carrierFlag) String() string { return string(*f) }
func (f *carrierFlag) Type() string   { return "carrier" }

func (f *carrierFlag) Set(text string) error {
	modes := []string{string(session.CarrierAuto), string(session.CarrierUDP), string(session.CarrierRelay)}
	if !slices.Contains(modes, text) {
		return noSuchValue("carrier", text, modes)
	}
	*f = carrierFlag(text)
	return nil
}
