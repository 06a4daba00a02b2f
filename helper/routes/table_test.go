// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/fairlead-dev/fairlead/helper/restore"
)

// fakeSystem is a machine in memory. Like the real ones it takes additions of what is there and removals of what is
// not.
type fakeSystem struct {
	state  map[Step]bool
	failAt int // the n-th step fails, counted from 1
	made   int
	best   []bestRoute // where exempt addresses go; nil means as on Linux
}

func newFake() *fakeSystem { return &fakeSystem{state: map[Step]bool{}} }

var errRefused = errors.New("refused")

func (f *fakeSystem) apply(_ context.Context, step Step) error {
	f.made++
	if f.made == f.failAt {
		return errRefused
	}
	if step.Remove {
		delete(f.state, step.inverse())
	} else {
		f.state[step] = true
	}
	return nil
}

func (f *fakeSystem) locate(_ context.Context, wanted, have []Step) ([]Step, error) {
	if f.best == nil {
		return wanted, nil
	}
	return locateBy(wanted, have, f.best), nil
}

// newTable returns a table on a fake machine, with a journal that undoes on it.
func newTable(t *testing.T, f *fakeSystem) *Table {
	t.Helper()
	journal, err := restore.Open(filepath.Join(t.TempDir(), "journal"), restore.Kind{
		Name: KindRoutes, Undo: func(ctx context.Context, data json.RawMessage) error {
			var entry journalEntry
			if err := json.Unmarshal(data, &entry); err != nil {
				return err
			}
			return entry.undo(ctx, f)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = journal.Close() })
	return &Table{system: f, journal: journal}
}

func stateOf(plan Plan) map[Step]bool {
	state := map[Step]bool{}
	for _, s := range plan.steps() {
		state[s] = true
	}
	return state
}

// otherPlan shares something with dualStack, and has other addresses.
func otherPlan() Plan {
	return NewPlan("fairlead0", addrs("198.19.0.3", "fd5a::1"),
		prefixes("10.96.0.0/12", "10.32.0.0/16", "fd00:10:96::/112"), addrs("10.96.0.1", "10.32.0.9"))
}

func TestTableSetAndClose(t *testing.T) {
	f := newFake()
	table := newTable(t, f)
	ctx := context.Background()
	for _, plan := range []Plan{dualStack(), otherPlan(), otherPlan(), dualStack().WithoutIPv6(), dualStack()} {
		if err := table.Set(ctx, plan); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(f.state, stateOf(plan)) {
			t.Fatalf("the machine has %v, want %v", f.state, stateOf(plan))
		}
		if entries := table.journal.Entries(); len(entries) != 1 {
			t.Fatalf("%d journal entries, want 1", len(entries))
		}
	}
	if err := table.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if len(f.state) != 0 || len(table.journal.Entries()) != 0 {
		t.Errorf("left: %v, journal %v", f.state, table.journal.Entries())
	}
	if err := table.Close(ctx); err != nil {
		t.Errorf("second close: %v", err)
	}
}

// TestTableTakesBack fails at every step of a change and sees the machine as it was.
func TestTableTakesBack(t *testing.T) {
	ctx := context.Background()
	changes := len(difference(dualStack().steps(), otherPlan().steps()))
	for failAt := 1; failAt <= changes; failAt++ {
		f := newFake()
		table := newTable(t, f)
		if err := table.Set(ctx, dualStack()); err != nil {
			t.Fatal(err)
		}
		f.made, f.failAt = 0, failAt
		if err := table.Set(ctx, otherPlan()); !errors.Is(err, errRefused) {
			t.Fatalf("step %d: got %v", failAt, err)
		}
		if !maps.Equal(f.state, stateOf(dualStack())) {
			t.Fatalf("step %d: the machine has %v, want what it had", failAt, f.state)
		}
		if err := table.Close(ctx); err != nil || len(f.state) != 0 || len(table.journal.Entries()) != 0 {
			t.Fatalf("step %d: close: %v, left %v", failAt, err, f.state)
		}
	}
}

// TestTableCrash stops at every step of a change, as a kill does, and undoes from the journal alone.
func TestTableCrash(t *testing.T) {
	ctx := context.Background()
	steps := difference(dualStack().steps(), otherPlan().steps())
	for made := range len(steps) + 1 {
		f := newFake()
		table := newTable(t, f)
		if err := table.Set(ctx, dualStack()); err != nil {
			t.Fatal(err)
		}
		if _, err := table.journal.Record(ctx, KindRoutes, journalEntry{Steps: removal(table.steps, otherPlan().steps())}); err != nil {
			t.Fatal(err)
		}
		for _, step := range steps[:made] {
			if err := f.apply(ctx, step); err != nil {
				t.Fatal(err)
			}
		}
		if err := table.journal.UndoAll(ctx); err != nil || len(f.state) != 0 {
			t.Fatalf("after %d steps: %v, left %v", made, err, f.state)
		}
	}
}

func TestTableRepair(t *testing.T) {
	f := newFake()
	table := newTable(t, f)
	ctx := context.Background()
	if err := table.Repair(ctx); err != nil || f.made != 0 {
		t.Fatalf("repair of nothing: %v, %d steps", err, f.made)
	}
	if err := table.Set(ctx, dualStack()); err != nil {
		t.Fatal(err)
	}
	clear(f.state)
	if err := table.Repair(ctx); err != nil || !maps.Equal(f.state, stateOf(dualStack())) {
		t.Errorf("repair: %v, the machine has %v", err, f.state)
	}
}

// TestTableFollowsNetwork moves an exemption when the default route moves, and drops it while there is none.
func TestTableFollowsNetwork(t *testing.T) {
	f := newFake()
	table := newTable(t, f)
	ctx := context.Background()
	plan := NewPlan("utun4", addrs("198.19.0.1"), prefixes("10.0.0.0/8"), addrs("10.96.0.1"))
	exemption := func() (Step, bool) {
		for s := range f.state {
			if s.Op == OpExempt {
				return s, true
			}
		}
		return Step{}, false
	}
	by := func(via, through string) []bestRoute {
		return []bestRoute{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr(via), Through: through}}
	}
	f.best = by("192.168.1.1", "en0")
	if err := table.Set(ctx, plan); err != nil {
		t.Fatal(err)
	}
	if s, ok := exemption(); !ok || s.Through != "en0" {
		t.Fatalf("exemption %v %v", s, ok)
	}
	f.best = append(by("10.20.0.1", "en5"), bestRoute{ // our own host route must not be taken for the machine's
		Prefix: netip.MustParsePrefix("10.96.0.1/32"), Via: netip.MustParseAddr("192.168.1.1"), Through: "en0",
	})
	if err := table.Repair(ctx); err != nil {
		t.Fatal(err)
	}
	if s, ok := exemption(); !ok || s.Through != "en5" || s.Via.String() != "10.20.0.1" {
		t.Fatalf("exemption %v %v", s, ok)
	}
	f.best = []bestRoute{}
	if err := table.Repair(ctx); err != nil {
		t.Fatal(err)
	}
	if s, ok := exemption(); ok {
		t.Fatalf("exemption without a way: %v", s)
	}
	f.best = by("192.168.1.1", "en0")
	if err := table.Repair(ctx); err != nil {
		t.Fatal(err)
	}
	if _, ok := exemption(); !ok {
		t.Fatal("no exemption although there is a way again")
	}
	if err := table.Close(ctx); err != nil || len(f.state) != 0 {
		t.Fatalf("close: %v, left %v", err, f.state)
	}
}

func TestLocateLeavesForeignHostRoute(t *testing.T) {
	wanted := NewPlan("utun4", addrs("198.19.0.1"), prefixes("10.0.0.0/8"), addrs("10.96.0.1")).steps()
	got := locateBy(wanted, nil, []bestRoute{
		{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Through: "en0"},
		{Prefix: netip.MustParsePrefix("10.96.0.1/32"), Through: "en1"},
	})
	for _, s := range got {
		if s.Op == OpExempt {
			t.Errorf("a host route of somebody else would be taken away at the end: %v", s)
		}
	}
}

func TestLookup(t *testing.T) {
	table := []bestRoute{
		{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Through: "far", Metric: 50},
		{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Through: "near", Metric: 10},
		{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Through: "vpn", Metric: 500},
		{Prefix: netip.MustParsePrefix("::/0"), Through: "six"},
	}
	for addr, want := range map[string]string{"192.0.2.1": "near", "10.1.1.1": "vpn", "2001:db8::1": "six"} {
		if got, ok := lookup(table, netip.MustParseAddr(addr)); !ok || got.Through != want {
			t.Errorf("lookup(%s) = %v %v, want %s", addr, got, ok, want)
		}
	}
	if got, ok := lookup(table[:1], netip.MustParseAddr("2001:db8::1")); ok {
		t.Errorf("lookup without a route: %v", got)
	}
}
