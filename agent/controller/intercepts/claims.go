// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/injector"
	"github.com/fairlead-dev/fairlead/agent/matching"
)

const (
	// silentAfter is how long a laptop may not be heard before its intercepts are suspended. Daemons are heard at least
	// every second.
	silentAfter = 4 * time.Second

	// defaultRemoveAfter is how long a laptop may be away before its intercepts are removed.
	defaultRemoveAfter = 15 * time.Minute

	// keepEnded is how long an intercept that ended by itself stays, so that its owner's daemon can tell why.
	keepEnded = time.Minute
)

// fate is what becomes of an Intercept.
type fate int

const (
	holds   fate = iota // its rules are carried out, unless suspended
	waits               // it holds its place, but something is missing
	refused             // it can't be
	ends                // everything is put back
)

// claim is an Intercept and what was decided about it.
type claim struct {
	intercept *v1alpha1.Intercept
	ref, root workload
	members   []*member // pods that it means
	match     *wire.Match
	expires   time.Time

	fate    fate
	message string // why it waits, is refused or ends
	remove  bool   // the gateway deletes it when it has ended, without waiting for its owner

	suspended   bool
	silentSince time.Time // zero while the laptop is heard

	mode   injector.Mode // the way; empty while unknown
	reason string        // for it
}

func (c *claim) id() string { return string(c.intercept.UID) }

// ports are those of the Intercept.
func (c *claim) ports() []port {
	var ports []port
	for _, p := range c.intercept.Spec.Ports {
		ports = append(ports, port{Number: uint16(p.Port), Protocol: protocolOf(p)})
	}
	return ports
}

func protocolOf(p v1alpha1.InterceptPort) string {
	return cmp.Or(p.Protocol, string(corev1.ProtocolTCP))
}

// refuse ends a claim's hopes for now. It is tried again whenever something changes.
func (c *claim) refuse(format string, a ...any) {
	c.fate, c.message = refused, fmt.Sprintf(format, a...)
}

// wait says what is missing.
func (c *claim) wait(format string, a ...any) { c.fate, c.message = waits, fmt.Sprintf(format, a...) }

// end puts everything back.
func (c *claim) end(remove bool, format string, a ...any) {
	c.fate, c.remove, c.message = ends, remove, fmt.Sprintf(format, a...)
}

// judge decides about every Intercept of the namespace. Claims come in order of precedence.
func judge(w *world, m *memory, members []*member) []*claim {
	var claims []*claim
	for i := range w.intercepts {
		claims = append(claims, examine(w, m, &w.intercepts[i], members))
	}
	slices.SortFunc(claims, precedence)
	resolve(w, claims)
	return claims
}

// examine judges one Intercept by itself.
func examine(w *world, m *memory, intercept *v1alpha1.Intercept, members []*member) *claim {
	c := &claim{
		intercept: intercept, ref: workload{kind: intercept.Spec.Workload.Kind, name: intercept.Spec.Workload.Name},
		match: toWire(intercept.Spec.Match), expires: expiry(intercept, w.policy.maxDuration()),
	}
	for _, member := range members {
		if slices.Contains(member.chain, c.ref) {
			c.members = append(c.members, member)
		}
	}
	c.root = w.rootOf(c.ref, members)
	if c.over(w, m) {
		return c
	}
	c.listenFor(w, m)
	if c.fate == ends || c.impossible(w) {
		return c
	}
	connection := w.connections[intercept.Spec.Connection.Name]
	switch {
	case connection == nil:
		c.wait("looking for the connection %s", intercept.Spec.Connection.Name)
	case connection.Status.Phase == v1alpha1.ConnectionRefused:
		c.refuse("the gateway does not serve the connection %s: %s", connection.Name, connection.Status.Message)
	case connection.Status.Phase == "":
		c.wait("the connection %s is being set up", connection.Name)
	case len(c.members) == 0:
		switch m.workloads[c.ref].answer {
		case absent:
			c.refuse("there is no %s in namespace %s", c.ref, w.namespace)
		case unknown:
			c.wait("looking for %s", c.ref)
		case present:
			c.wait("no pod is ready: %s has none", c.ref)
		}
	}
	return c
}

// over reports whether an Intercept is at its end.
func (c *claim) over(w *world, m *memory) bool {
	spec := c.intercept.Spec
	switch {
	case c.intercept.DeletionTimestamp != nil:
		c.end(false, "it was deleted")
	case spec.Leaving:
		c.end(false, "left")
	case c.intercept.Status.Phase == v1alpha1.InterceptEnded:
		c.end(false, "%s", c.intercept.Status.Message) // an end is final
	case spec.Connection.Namespace == w.gateway && m.connections[spec.Connection.Name] == absent:
		c.end(true, "the laptop has disconnected")
	case !w.now.Before(c.expires):
		c.end(false, "it has expired at %s", clock(c.expires, w.now))
	}
	return c.fate == ends
}

// impossible refuses what can't work whatever happens.
func (c *claim) impossible(w *world) bool {
	spec := c.intercept.Spec
	connection := w.connections[spec.Connection.Name]
	seen := make(map[port]bool)
	for _, p := range c.ports() {
		switch {
		case seen[p]:
			c.refuse("port %s is named twice", describePort(p))
		case c.match != nil && p.Protocol == string(corev1.ProtocolUDP):
			c.refuse("port %s is UDP, where requests can't be told apart: intercept all of it", describePort(p))
		}
		seen[p] = true
	}
	if c.match != nil {
		if _, err := matching.Compile(*c.match); err != nil {
			c.refuse("%s", err)
		}
	}
	switch {
	case spec.Connection.Namespace != w.gateway:
		c.refuse("the connection must be one of this gateway, in namespace %s", w.gateway)
	case connection != nil && connection.Spec.User != spec.User:
		c.refuse("the connection %s belongs to %s, and the intercept to %s", connection.Name, connection.Spec.User, spec.User)
	}
	if w.namespace == w.gateway {
		c.refuse("the gateway's own namespace can't be intercepted")
	}
	for _, member := range c.members {
		if name := spec.Workload.Container; name != "" && !slices.ContainsFunc(member.pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == name }) {
			c.refuse("pod %s has no container %s", member.pod.Name, name)
			break
		}
		if err := injector.Possible(member.pod, injector.Unprivileged); err != nil {
			c.refuse("%s", err)
			break
		}
	}
	return c.fate == refused
}

// listenFor suspends a claim whose laptop is silent, and ends it after long silence.
func (c *claim) listenFor(w *world, m *memory) {
	heard, before := w.heard(c.intercept.Spec.Connection.Name), c.intercept.Status.SilentSince
	sign := heard
	if first := m.firstSeen(c.intercept.UID, w.now); first.After(sign) {
		sign = first // it was told of just now
	}
	silent := w.now.Sub(sign) > silentAfter
	if heard.IsZero() && !w.settled() {
		silent = c.intercept.Status.Phase == v1alpha1.InterceptSuspended // it stays what it was
	}
	if !silent {
		return
	}
	c.suspended, c.silentSince = true, sign
	if before != nil && before.Time.Before(sign) {
		c.silentSince = before.Time // a gateway that started anew knows from the status
	}
	if w.settled() && w.now.Sub(c.silentSince) > w.policy.removeAfter() {
		c.end(true, "the laptop has not been heard since %s", clock(c.silentSince, w.now))
	}
}

// expiry is when an Intercept ends by itself.
func expiry(intercept *v1alpha1.Intercept, most time.Duration) time.Time {
	latest := intercept.CreationTimestamp.Add(most)
	if wanted := intercept.Spec.Expires; wanted != nil && wanted.Time.Before(latest) {
		return wanted.Time
	}
	return latest
}

// toWire turns the match of a spec into that of the contract with sidecars.
func toWire(m *v1alpha1.Match) *wire.Match {
	if m == nil {
		return nil
	}
	match := &wire.Match{}
	if m.Key != nil {
		match.Key = *m.Key
	}
	for _, h := range m.Headers {
		match.Headers = append(match.Headers, wire.HeaderMatch{Name: h.Name, ValueMatch: wire.ValueMatch(h.ValueMatch)})
	}
	if m.Path != nil {
		path := wire.ValueMatch(*m.Path)
		match.Path = &path
	}
	return match
}
