// SPDX-License-Identifier: Apache-2.0

package tray

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/tests/golden"
)

func contextsNamed(names ...string) []localapi.Context {
	var all []localapi.Context
	for i, name := range names {
		all = append(all, localapi.Context{Name: name, Current: i == 1})
	}
	return all
}

func snapshotOf(s localapi.Status) *localapi.Snapshot { return &localapi.Snapshot{Session: s} }

func TestShow(t *testing.T) {
	three := contextsNamed("dev", "staging", "prod-eu")
	up := localapi.Status{State: session.Connected, Context: "dev", Namespace: "shop"}
	intercepting := up
	intercepting.Intercepts = []localapi.Intercept{
		{
			Name: "pricing-ada", Namespace: "shop", ID: "1", Phase: "Active", Workload: session.InterceptWorkload{Kind: "Deployment", Name: "pricing"},
			Ports: []session.InterceptedPort{{Port: 8080, Local: "127.0.0.1:3000"}, {Port: 9090, Local: "127.0.0.1:9090"}}, Header: "x-fairlead: ada", Curl: "curl -H 'x-fairlead: ada' http://pricing.shop:8080/",
		},
		{
			Name: "ledger-ada", Namespace: "shop", ID: "2", Phase: "Pending", Workload: session.InterceptWorkload{Kind: "StatefulSet", Name: "ledger"},
			Ports: []session.InterceptedPort{{Port: 5432, Local: "192.168.1.7:5432"}}, All: true,
		},
	}
	ended := intercepting
	ended.Intercepts = slices.Clone(intercepting.Intercepts)
	ended.Intercepts[0].Phase, ended.Intercepts[1].Phase = session.InterceptEnded, session.InterceptEnded
	lost := intercepting
	lost.State, lost.Problem = session.Reconnecting, problem.New(problem.NoCarrier, "", "the gateway has not answered for 4 s")
	many := make([]string, 40)
	for i := range many {
		many[i] = fmt.Sprintf("cluster-%02d", i)
	}
	failed := snapshotOf(localapi.Status{State: session.Disconnected, Context: "dev"})
	failed.Problems = []localapi.Trouble{{Problem: *problem.New(problem.GatewayMissing, "", "the cluster of context %q has no gateway,\nwhich is what a laptop connects to and works through", "dev")}}
	for _, test := range []struct {
		name  string
		state State
	}{
		{"starting", State{}},
		{"disconnected", State{snapshotOf(localapi.Status{State: session.Disconnected}), three}},
		{"no-contexts", State{snapshotOf(localapi.Status{State: session.Disconnected}), nil}},
		{"many-contexts", State{snapshotOf(localapi.Status{State: session.Connected, Context: "cluster-33"}), contextsNamed(many...)}},
		{"connecting", State{snapshotOf(localapi.Status{State: session.Connecting, Context: "staging", Step: "waiting for the gateway"}), three}},
		{"connected", State{snapshotOf(up), three}},
		{"connected", State{snapshotOf(ended), three}},
		{"disconnecting", State{snapshotOf(localapi.Status{State: session.Disconnecting, Context: "dev"}), three}},
		{"intercepting", State{snapshotOf(intercepting), three}},
		{"reconnecting", State{snapshotOf(lost), three}},
		{"failed", State{failed, three}},
	} {
		t.Run(test.name, func(t *testing.T) {
			golden.Compare(t, filepath.Join("testdata", test.name+".txt"), text(Show(test.state)))
		})
	}
}

// text writes a View as people would describe it.
func text(v View) string {
	var b strings.Builder
	fmt.Fprintf(&b, "icon: %s\ntooltip: %s\n\n", v.Icon, strings.ReplaceAll(v.Tooltip, "\n", "\n         "))
	writeItems(&b, v.Menu, "")
	return b.String()
}

func writeItems(b *strings.Builder, items []Item, indent string) {
	for _, i := range items {
		if i.Separator {
			b.WriteString(indent + "---\n")
			continue
		}
		mark := "  "
		if i.Checked {
			mark = "✓ "
		}
		line := indent + mark + i.Label
		if i.Disabled {
			line += "  [disabled]"
		}
		if a := i.Action; a.Do != Nothing {
			line += strings.TrimRight(fmt.Sprintf("  => %s %s", a.Do, strings.Join(strings.Fields(strings.Join([]string{a.Context, a.Namespace, a.Name, a.Text, a.Page}, " ")), " ")), " ")
		}
		b.WriteString(line + "\n")
		writeItems(b, i.Items, indent+"    ")
	}
}

func TestLinesStayLines(t *testing.T) {
	got := short("a\nb\tc " + strings.Repeat("ü", 100))
	if strings.ContainsAny(got, "\n\t") || len([]rune(got)) != mostText || !strings.HasSuffix(got, "…") {
		t.Errorf("%q", got)
	}
}
