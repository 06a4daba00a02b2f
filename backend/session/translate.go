// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/carrier"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/helper/api"
)

// answer is what the gateway says in a Connection's status, read and checked.
type answer struct {
	Version          string
	PublicKey        string
	Addresses        []netip.Addr
	GatewayAddresses []netip.Addr
	UDP              []netip.AddrPort
	Relay            carrier.Target
	Domain           string
	Namespaces       []string
	Ranges           []netip.Prefix
}

// maxUDP is how many UDP endpoints are tried.
const maxUDP = 8

// readAnswer reads the status of a Connection. What the gateway sends that makes no sense is a problem, not a guess.
func readAnswer(c *v1alpha1.Connection) (answer, error) {
	a := answer{Version: c.Status.GatewayVersion, PublicKey: c.Status.GatewayPublicKey, Domain: c.Status.ClusterDomain, Namespaces: c.Status.Namespaces}
	var err error
	if a.Addresses, err = parseAll("tunnel address", c.Status.Addresses, netip.ParseAddr); err != nil {
		return answer{}, err
	}
	if a.GatewayAddresses, err = parseAll("gateway address", c.Status.GatewayAddresses, netip.ParseAddr); err != nil {
		return answer{}, err
	}
	if a.UDP, err = parseAll("UDP endpoint", c.Status.Endpoints.UDP, netip.ParseAddrPort); err != nil {
		return answer{}, err
	}
	a.UDP = a.UDP[:min(len(a.UDP), maxUDP)]
	for _, r := range c.Status.ClusterRanges {
		prefix, err := netip.ParsePrefix(r.Range)
		if err != nil {
			return answer{}, badAnswer("cluster range", r.Range)
		}
		a.Ranges = append(a.Ranges, prefix.Masked())
	}
	if r := c.Status.Endpoints.Relay; r != nil {
		a.Relay = carrier.Target{Namespace: r.Namespace, Pod: r.Pod, Port: r.Port}
	}
	if len(a.Addresses) == 0 || len(a.GatewayAddresses) == 0 || a.PublicKey == "" {
		return answer{}, badAnswer("answer", "without addresses or key")
	}
	return a, nil
}

func parseAll[T any](what string, texts []string, parse func(string) (T, error)) ([]T, error) {
	var all []T
	for _, text := range texts {
		parsed, err := parse(text)
		if err != nil {
			return nil, badAnswer(what, text)
		}
		all = append(all, parsed)
	}
	return all, nil
}

func badAnswer(what, text string) error {
	return problem.New(problem.GatewayNotReady, "Upgrade the gateway to the version of Fairlead: fairlead gateway upgrade.",
		"the gateway sent a %s that makes no sense: %q", what, text)
}

// tunnelFor puts together what the helper needs.
func tunnelFor(a answer, p plan, exempt []netip.Addr, namespace string, first api.CarrierName) api.Tunnel {
	return api.Tunnel{
		Addresses: a.Addresses,
		Peer:      api.Peer{PublicKey: a.PublicKey, Addresses: a.GatewayAddresses, UDP: a.UDP},
		Routes:    p.Routes,
		Exempt:    exempt,
		DNS:       &api.DNS{ClusterDomain: a.Domain, Namespace: namespace, Namespaces: a.Namespaces},
		Carrier:   first,
	}
}

// difference returns what has to be updated to get from one tunnel to another, and whether that is anything at all.
// The carrier is left out: it is decided elsewhere.
func difference(from, to api.Tunnel) (api.UpdateRequest, bool) {
	var u api.UpdateRequest
	changed := false
	if !reflect.DeepEqual(from.Peer, to.Peer) {
		u.Peer, changed = &to.Peer, true
	}
	if !slices.Equal(from.Addresses, to.Addresses) {
		u.Addresses, changed = &to.Addresses, true
	}
	if !slices.Equal(from.Routes, to.Routes) {
		u.Routes, changed = &to.Routes, true
	}
	if !slices.Equal(from.Exempt, to.Exempt) {
		u.Exempt, changed = &to.Exempt, true
	}
	if !reflect.DeepEqual(from.DNS, to.DNS) {
		u.DNS, changed = to.DNS, true
	}
	return u, changed
}

// health reads what the helper's probes say of a carrier.
func health(h api.CarrierHealth) carrier.Health {
	silence := time.Duration(h.LastAnswerAgo) * time.Millisecond
	if h.LastAnswerAgo < 0 {
		silence = -1
	}
	return carrier.Health{Configured: h.Configured, Silence: silence, Overdue: h.Unanswered, Endpoint: h.Endpoint, Error: h.Error}
}

// specMappings says in the Connection what the plan maps.
func specMappings(mappings []Mapping) []v1alpha1.RangeMapping {
	var all []v1alpha1.RangeMapping
	for _, m := range mappings {
		all = append(all, v1alpha1.RangeMapping{Range: m.Range.String(), Mapped: m.Mapped.String()})
	}
	return all
}

// noCarrier says that nothing gets through, with what each way met.
func noCarrier(s api.Status, mode CarrierMode, relay carrier.KeeperStatus) *problem.Problem {
	p := problem.New(problem.NoCarrier,
		"Check that this network lets UDP through to the nodes, or that 'kubectl port-forward' works for you. See: fairlead doctor.",
		"the gateway is there, but no way to it carries data")
	if mode != CarrierRelay {
		switch {
		case !s.UDP.Configured:
			p.Details = append(p.Details, "udp: the gateway publishes no UDP endpoint")
		case s.UDP.Error != "":
			p.Details = append(p.Details, fmt.Sprintf("udp: %s: %s", s.UDP.Endpoint, s.UDP.Error))
		default:
			p.Details = append(p.Details, fmt.Sprintf("udp: %s does not answer (%d probes sent)", s.UDP.Endpoint, s.UDP.Sent))
		}
	}
	if mode != CarrierUDP {
		switch {
		case relay.Error != nil:
			p.Details = append(p.Details, "relay: "+relay.Error.Error())
		case !relay.Open:
			p.Details = append(p.Details, "relay: the port-forward did not open in time")
		default:
			p.Details = append(p.Details, fmt.Sprintf("relay: the port-forward to pod %s is open, but does not answer", relay.Target.Pod))
		}
	}
	return p
}
