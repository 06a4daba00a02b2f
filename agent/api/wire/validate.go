// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"unicode"
	"unicode/utf8"
)

// Bounds of what messages may hold. Who reads a message checks it by Validate before it uses anything in it.
const (
	maxName     = 253     // bytes of a container's or pod's name, a UID or a version (RFC 1123 for names)
	maxSecret   = 7 << 10 // bytes of a credential or token
	maxSentence = 1 << 10 // bytes of what people are told
	maxPorts    = 256
	maxRules    = 256 // of one port
	maxHeaders  = 64
	maxPattern  = 4 << 10 // bytes
	maxProbes   = 64
	maxAddrs    = 64
	maxPath     = 8 << 10 // bytes of a request's path
)

// Validate checks what a sidecar says of itself. It does not look at Version: another contract may have other fields.
func (h Hello) Validate() error {
	if h.Purpose != PurposeControl && h.Purpose != PurposeFlow {
		return fmt.Errorf("purpose %q is neither control nor flow", cut(string(h.Purpose)))
	}
	if h.Container == "" {
		return errors.New("the container's name is missing")
	}
	if err := plain(maxName, "podUID", h.PodUID, "container", h.Container, "program", h.Program); err != nil {
		return err
	}
	if err := plain(maxSecret, "credential", h.Credential, "token", h.Token); err != nil {
		return err
	}
	switch {
	case (h.Credential == "") == (h.Token == ""):
		return errors.New("exactly one of credential and token is needed")
	case h.Credential != "" && h.PodUID == "":
		return errors.New("a credential needs the pod's UID")
	}
	return nil
}

// Validate checks an Open.
func (o Open) Validate() error {
	if o.Intercept == "" {
		return errors.New("the intercept is missing")
	}
	if err := plain(maxName, "intercept", o.Intercept, "pod", o.Pod, "method", o.Method); err != nil {
		return err
	}
	if err := plain(MaxOpenPath, "path", o.Path); err != nil {
		return err
	}
	if err := validatePort(o.Port, o.Protocol); err != nil {
		return err
	}
	switch o.Kind {
	case FlowRaw, FlowProbe:
	case FlowHTTP, FlowMirror:
		if o.Protocol != "TCP" {
			return fmt.Errorf("a flow of kind %s needs TCP", o.Kind)
		}
	default:
		return fmt.Errorf("kind %q is unknown", cut(string(o.Kind)))
	}
	if o.Kind != FlowProbe && !o.Client.IsValid() {
		return errors.New("the client's address is missing")
	}
	return nil
}

// Validate checks an Answer.
func (a Answer) Validate() error {
	switch a.Result {
	case Accepted, NobodyListens, LaptopAway, NotIntercepted, Overloaded:
	default:
		return fmt.Errorf("result %q is unknown", cut(string(a.Result)))
	}
	return plain(maxSentence, "detail", a.Detail, "local", a.Local)
}

// Validate checks an Order. Patterns are only bounded: whether they compile, who compiles them says.
func (o Order) Validate() error {
	if len(o.Ports) > maxPorts || len(o.PodAddresses) > maxAddrs || len(o.NodeAddresses) > maxAddrs {
		return errors.New("too many ports or addresses")
	}
	if o.Linger < 0 {
		return fmt.Errorf("linger %d is negative", o.Linger)
	}
	for _, addresses := range [][]netip.Addr{o.PodAddresses, o.NodeAddresses} {
		for _, a := range addresses {
			if !a.IsValid() {
				return errors.New("an address is empty")
			}
		}
	}
	type port struct {
		number   uint16
		protocol string
	}
	seen := make(map[port]bool, len(o.Ports))
	for _, p := range o.Ports {
		if err := p.validate(); err != nil {
			return fmt.Errorf("port %d/%s: %w", p.Port, cut(p.Protocol), err)
		}
		if seen[port{p.Port, p.Protocol}] {
			return fmt.Errorf("port %d/%s is there twice", p.Port, p.Protocol)
		}
		seen[port{p.Port, p.Protocol}] = true
	}
	return nil
}

func (p PortOrder) validate() error {
	if err := validatePort(p.Port, p.Protocol); err != nil {
		return err
	}
	switch p.Takeover {
	case "", "Gentle", "Force", "None":
	default:
		return fmt.Errorf("takeover %q is unknown", cut(p.Takeover))
	}
	switch p.Speaks {
	case "", "http", "h2c", "tls", "other":
	default:
		return fmt.Errorf("it speaks %q, which is unknown", cut(p.Speaks))
	}
	if len(p.Probes) > maxProbes || len(p.Rules) > maxRules {
		return errors.New("too many probes or rules")
	}
	for _, probe := range p.Probes {
		switch probe.Kind {
		case "http", "https", "tcp", "grpc":
		default:
			return fmt.Errorf("probe kind %q is unknown", cut(probe.Kind))
		}
	}
	for _, rule := range p.Rules {
		if rule.Intercept == "" {
			return errors.New("a rule has no intercept")
		}
		if err := plain(maxName, "intercept", rule.Intercept); err != nil {
			return err
		}
		if rule.Match != nil {
			if err := rule.Match.Validate(); err != nil {
				return fmt.Errorf("rule of intercept %s: %w", rule.Intercept, err)
			}
		}
	}
	return nil
}

// Validate checks that a Match has conditions, and that each is exactly one.
func (m Match) Validate() error {
	if m.Key == "" && len(m.Headers) == 0 && m.Path == nil {
		return errors.New("a match needs a key, a header or a path")
	}
	if len(m.Headers) > maxHeaders {
		return fmt.Errorf("%d headers are more than %d", len(m.Headers), maxHeaders)
	}
	if err := plain(maxName, "key", m.Key); err != nil {
		return err
	}
	for _, h := range m.Headers {
		if h.Name == "" {
			return errors.New("a header has no name")
		}
		if err := plain(maxPattern, "header", h.Name); err != nil {
			return err
		}
		if err := h.validate(); err != nil {
			return fmt.Errorf("header %s: %w", h.Name, err)
		}
	}
	if m.Path != nil {
		if err := m.Path.validate(); err != nil {
			return fmt.Errorf("path: %w", err)
		}
	}
	return nil
}

func (v ValueMatch) validate() error {
	set := 0
	for _, pattern := range []*string{v.Exact, v.Prefix, v.Regex} {
		if pattern == nil {
			continue
		}
		set++
		if len(*pattern) > maxPattern {
			return fmt.Errorf("a pattern of %d bytes is longer than %d", len(*pattern), maxPattern)
		}
	}
	if set != 1 {
		return errors.New("exactly one of exact, prefix and regex is needed")
	}
	return nil
}

// Validate checks a Report, but for its Requests: what callers send is no reason to doubt the sidecar.
func (r Report) Validate() error {
	if len(r.Ports) > maxPorts || len(r.Rules) > maxPorts*maxRules || len(r.Requests) > MaxRequests || r.Open < 0 {
		return errors.New("too many ports, rules or requests")
	}
	for _, p := range r.Ports {
		if err := validatePort(p.Port, p.Protocol); err != nil {
			return err
		}
		if p.Bypassing < 0 {
			return fmt.Errorf("port %d: a negative number of connections", p.Port)
		}
		if err := plain(maxSentence, "problem", p.Problem); err != nil {
			return fmt.Errorf("port %d: %w", p.Port, err)
		}
	}
	for _, rule := range r.Rules {
		if err := rule.validate(); err != nil {
			return fmt.Errorf("rule of intercept %s: %w", cut(rule.Intercept), err)
		}
	}
	return nil
}

func (r InterceptReport) validate() error {
	if err := plain(maxName, "intercept", r.Intercept); err != nil {
		return err
	}
	if err := validatePort(r.Port, r.Protocol); err != nil {
		return err
	}
	if r.Matched < 0 || r.Passed < 0 || r.FallenBack < 0 || r.Unreadable < 0 {
		return errors.New("a count is negative")
	}
	if r.Probe == (Answer{}) { // nothing has been probed yet
		return nil
	}
	return r.Probe.Validate()
}

// Validate checks what is told of one request.
func (r Request) Validate() error {
	if err := plain(maxName, "intercept", r.Intercept, "method", r.Method, "to", r.To); err != nil {
		return err
	}
	if err := plain(maxPath, "path", r.Path); err != nil {
		return err
	}
	return plain(maxSentence, "reason", r.Reason)
}

func validatePort(port uint16, protocol string) error {
	if port == 0 {
		return errors.New("the port is missing")
	}
	if protocol != "TCP" && protocol != "UDP" {
		return fmt.Errorf("protocol %q is neither TCP nor UDP", cut(protocol))
	}
	return nil
}

// plain checks texts that are shown to people or written to logs, given as pairs of name and text: each is short, valid
// UTF-8 and without control characters.
func plain(limit int, pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		name, text := pairs[i], pairs[i+1]
		if len(text) > limit {
			return fmt.Errorf("%s has %d bytes, more than %d", name, len(text), limit)
		}
		if !utf8.ValidString(text) {
			return fmt.Errorf("%s is not valid UTF-8", name)
		}
		for _, r := range text {
			if unicode.IsControl(r) {
				return fmt.Errorf("%s has the control character %U", name, r)
			}
		}
	}
	return nil
}

// cut shortens foreign text for an error.
func cut(text string) string {
	if len(text) <= 40 {
		return text
	}
	return text[:40] + "…"
}
