// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/fairlead-dev/fairlead/helper/restore"
)

// KindRoutes names the journal entries of this package.
const KindRoutes = "routes"

// system is what an operating system offers to a Table. Both methods are idempotent: adding what is there and
// removing what is not succeed.
type system interface {
	// apply makes one step.
	apply(ctx context.Context, step Step) error
	// locate fills in what only the machine knows: where exempt addresses go without the tunnel. have is what is in
	// place already.
	locate(ctx context.Context, wanted, have []Step) ([]Step, error)
}

// Table is the tunnel's routing on this machine. It is safe for concurrent use.
type Table struct {
	system  system
	journal *restore.Journal
	slot    int // which of several possible tables of the system; 0 where there is one

	mu    sync.Mutex
	plan  Plan   // what Set made true last
	steps []Step // what is in place
	entry uint64 // in the journal; 0 when nothing is in place
}

// journalEntry is what undoing takes.
type journalEntry struct {
	Slot  int    `json:"slot,omitempty"`
	Steps []Step `json:"steps"` // in the order they are undone
}

// Open makes an empty Table. It changes nothing.
func Open(ctx context.Context, journal *restore.Journal) (*Table, error) {
	slot, err := freeSlot(ctx)
	if err != nil {
		return nil, err
	}
	return &Table{system: newSystem(slot), journal: journal, slot: slot}, nil
}

// Kinds returns the journal entries of this package and how they are undone.
func Kinds() []restore.Kind {
	return []restore.Kind{{Name: KindRoutes, Undo: func(ctx context.Context, data json.RawMessage) error {
		var entry journalEntry
		if err := json.Unmarshal(data, &entry); err != nil {
			return fmt.Errorf("read journal entry: %w", err)
		}
		return entry.undo(ctx, newSystem(entry.Slot))
	}}}
}

func (e journalEntry) undo(ctx context.Context, s system) error {
	var errs []error
	for _, step := range e.Steps {
		if err := s.apply(ctx, step); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", step, err))
		}
	}
	return errors.Join(errs...)
}

// Set makes plan true, by the steps that it takes from what is in place. When a step fails those before it are
// undone, and the error says which.
func (t *Table) Set(ctx context.Context, plan Plan) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	wanted, err := t.system.locate(ctx, plan.steps(), t.steps)
	if err != nil {
		return err
	}
	if err := t.become(ctx, wanted); err != nil {
		return err
	}
	t.plan = plan
	return nil
}

// become goes from what is in place to wanted. The caller holds mu.
func (t *Table) become(ctx context.Context, wanted []Step) error {
	changes := difference(t.steps, wanted)
	if len(changes) == 0 {
		return nil
	}
	before := t.entry
	entry, err := t.journal.Record(ctx, KindRoutes, journalEntry{Slot: t.slot, Steps: removal(t.steps, wanted)})
	if err != nil {
		return err
	}
	for i, step := range changes {
		if err = t.system.apply(ctx, step); err != nil {
			err = fmt.Errorf("%s: %w", step, err)
			return errors.Join(err, t.takeBack(changes[:i], entry))
		}
	}
	t.steps, t.entry = wanted, entry
	if before == 0 {
		return nil
	}
	return t.journal.Done(before)
}

// takeBack undoes steps that were made, the last first, and strikes out the entry that recorded them unless something
// could not be undone. It goes on when the caller's context has ended.
func (t *Table) takeBack(made []Step, entry uint64) error {
	ctx := context.Background()
	var errs []error
	for _, step := range slices.Backward(made) {
		if err := t.system.apply(ctx, step.inverse()); err != nil {
			errs = append(errs, fmt.Errorf("take back: %s: %w", step.inverse(), err))
		}
	}
	if len(errs) == 0 {
		errs = append(errs, t.journal.Done(entry))
	}
	return errors.Join(errs...)
}

// removal returns the steps that take away everything in before and after, the last first.
func removal(before, after []Step) []Step {
	all := slices.Clone(before)
	for _, s := range after {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	steps := make([]Step, 0, len(all))
	for _, s := range slices.Backward(all) {
		steps = append(steps, s.inverse())
	}
	return steps
}

// Repair makes true again what the plan says, after the network of the machine changed: some network managers remove
// rules that they do not know, and exempt addresses may go another way now.
func (t *Table) Repair(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entry == 0 {
		return nil
	}
	wanted, err := t.system.locate(ctx, t.plan.steps(), t.steps)
	if err != nil {
		return err
	}
	if err := t.become(ctx, wanted); err != nil {
		return err
	}
	var errs []error
	for _, step := range t.steps {
		if err := t.system.apply(ctx, step); err != nil {
			errs = append(errs, fmt.Errorf("repair: %s: %w", step, err))
		}
	}
	return errors.Join(errs...)
}

// Close takes everything away. What could not be undone stays in the journal.
func (t *Table) Close(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entry == 0 {
		return nil
	}
	err := t.journal.Undo(ctx, t.entry)
	t.steps, t.entry = nil, 0
	return err
}

// bestRoute is a route as it matters for where an exempt address goes.
type bestRoute struct {
	Prefix  netip.Prefix
	Via     netip.Addr
	Through string
	Metric  int
}

// lookup returns the route that a packet to addr takes: the longest prefix, then the smallest metric.
func lookup(table []bestRoute, addr netip.Addr) (bestRoute, bool) {
	var best bestRoute
	found := false
	for _, r := range table {
		if !r.Prefix.Contains(addr) {
			continue
		}
		longer := r.Prefix.Bits() > best.Prefix.Bits()
		equal := r.Prefix.Bits() == best.Prefix.Bits()
		if !found || longer || equal && r.Metric < best.Metric {
			best, found = r, true
		}
	}
	return best, found
}

// locateBy fills in Via and Through of the exemptions among wanted from table, the routes of the machine. have is
// what this package has put there. Left out are exemptions to which the machine has no route at the moment, as their
// packets would go nowhere without the tunnel too, and those for which somebody else has a host route already.
func locateBy(wanted, have []Step, table []bestRoute) []Step {
	foreign := slices.DeleteFunc(slices.Clone(table), func(r bestRoute) bool {
		return slices.ContainsFunc(have, func(s Step) bool {
			return s.Op == OpExempt && s.Prefix == r.Prefix && s.Via == r.Via && s.Through == r.Through ||
				s.Op == OpRoute && s.Prefix == r.Prefix && s.Device == r.Through
		})
	})
	var located []Step
	for _, s := range wanted {
		if s.Op == OpExempt {
			best, ok := lookup(foreign, s.Prefix.Addr())
			if !ok || best.Prefix == s.Prefix {
				continue
			}
			s.Via, s.Through = best.Via, best.Through
		}
		located = append(located, s)
	}
	return located
}
