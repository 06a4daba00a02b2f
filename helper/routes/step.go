// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"fmt"
	"net/netip"
	"slices"
)

// Family is an address family.
type Family int

const (
	IPv4 Family = 4
	IPv6 Family = 6
)

func familyOf(addr netip.Addr) Family {
	if addr.Is4() {
		return IPv4
	}
	return IPv6
}

// Op is what a step does.
type Op string

const (
	OpAddress Op = "address" // an address of the laptop on the device
	OpUp      Op = "up"      // the device carries packets
	OpRoute   Op = "route"   // a prefix goes into the device
	OpExempt  Op = "exempt"  // an address goes where it would without the tunnel
	OpRule    Op = "rule"    // the machine's own packets of a family consult the tunnel's routes; Linux only
)

// Step is one change of the machine, as plain data that is written to the journal. Names of fields are stable.
type Step struct {
	Op     Op           `json:"op"`
	Remove bool         `json:"remove,omitempty"` // takes away what the same step without Remove gives
	Device string       `json:"device,omitempty"`
	Prefix netip.Prefix `json:"prefix,omitzero"` // OpAddress and OpExempt: a single address
	Source netip.Addr   `json:"source,omitzero"` // OpRoute: the laptop's address to send from
	Family Family       `json:"family,omitempty"`
	// Via and Through are where an exempt address goes without the tunnel: next hop and interface. They are known
	// only where exemptions are host routes, which is everywhere but on Linux.
	Via     netip.Addr `json:"via,omitzero"`
	Through string     `json:"through,omitempty"`
}

// inverse returns the step that undoes s.
func (s Step) inverse() Step {
	s.Remove = !s.Remove
	return s
}

// String says the step in words.
func (s Step) String() string {
	verb := "add"
	if s.Remove {
		verb = "remove"
	}
	switch s.Op {
	case OpAddress:
		return fmt.Sprintf("%s address %s on %s", verb, s.Prefix.Addr(), s.Device)
	case OpUp:
		if s.Remove {
			return fmt.Sprintf("take %s down", s.Device)
		}
		return fmt.Sprintf("bring %s up", s.Device)
	case OpRoute:
		return fmt.Sprintf("%s route %s through %s from %s", verb, s.Prefix, s.Device, s.Source)
	case OpExempt:
		return fmt.Sprintf("%s exemption of %s", verb, s.Prefix.Addr())
	case OpRule:
		return fmt.Sprintf("%s rule for IPv%d", verb, s.Family)
	}
	return fmt.Sprintf("%s %s", verb, s.Op)
}

// steps returns what makes plan true on a machine that has nothing of it, in an order that never routes an exempt
// address into the tunnel and never consults a table that is not complete.
func (p Plan) steps() []Step {
	var steps []Step
	for _, addr := range p.Addresses {
		steps = append(steps, Step{Op: OpAddress, Device: p.Device, Prefix: host(addr), Family: familyOf(addr)})
	}
	if p.Device != "" {
		steps = append(steps, Step{Op: OpUp, Device: p.Device})
	}
	for _, addr := range p.Exempt {
		steps = append(steps, Step{Op: OpExempt, Prefix: host(addr), Family: familyOf(addr)})
	}
	for _, prefix := range p.Routes {
		steps = append(steps, Step{
			Op: OpRoute, Device: p.Device, Prefix: prefix, Source: p.source(prefix.Addr()), Family: familyOf(prefix.Addr()),
		})
	}
	for _, family := range p.families() {
		steps = append(steps, Step{Op: OpRule, Family: family})
	}
	return steps
}

// difference returns the steps that turn a machine where from is true into one where to is. What goes is removed
// in the opposite order of how it came, then what is new is added. A route that must leave by another source
// address is removed and added again.
func difference(from, to []Step) []Step {
	var steps []Step
	for _, s := range slices.Backward(from) {
		if !slices.Contains(to, s) {
			steps = append(steps, s.inverse())
		}
	}
	for _, s := range to {
		if !slices.Contains(from, s) {
			steps = append(steps, s)
		}
	}
	return steps
}

// host returns the prefix that contains addr alone.
func host(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, addr.BitLen()) }
