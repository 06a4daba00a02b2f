// SPDX-License-Identifier: Apache-2.0

package session

import (
	"cmp"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/helper/api"
)

// DefaultGatewayNamespace is where the gateway is unless the options say otherwise.
const DefaultGatewayNamespace = "fairlead"

// maxPrefixes bounds Include and Exclude.
const maxPrefixes = 64

// request is Options after they have been checked, with everything in them resolved that can be without the network.
type request struct {
	options          Options
	carrier          CarrierMode
	gatewayNamespace string
	include, exclude []netip.Prefix
	access           *cluster.Access
}

// newRequest checks the options and opens the kubeconfig. Errors are *problem.Problem.
func newRequest(o Options) (*request, error) {
	r := &request{options: o, carrier: cmp.Or(o.Carrier, CarrierAuto), gatewayNamespace: cmp.Or(o.GatewayNamespace, DefaultGatewayNamespace)}
	if !slices.Contains([]CarrierMode{CarrierAuto, CarrierUDP, CarrierRelay}, r.carrier) {
		return nil, problem.New(problem.Usage, "Use auto, udp or relay.", "there is no carrier %q", o.Carrier)
	}
	var err error
	if r.include, err = parsePrefixes("include", o.Include); err != nil {
		return nil, err
	}
	for _, prefix := range r.include {
		if refusal, ok := errors.AsType[*api.Error](api.ValidateRoute(prefix)); ok {
			return nil, problem.New(problem.Usage, refusal.Hint, "--include: %s", refusal.Message)
		}
	}
	if r.exclude, err = parsePrefixes("exclude", o.Exclude); err != nil {
		return nil, err
	}
	if err := checkNames("dnsDomains", o.DNSDomains, api.ValidateDomain); err != nil {
		return nil, err
	}
	if err := checkNames("dnsExclude", o.DNSExclude, api.ValidateName); err != nil {
		return nil, err
	}
	if r.access, err = cluster.Open(o.Cluster()); err != nil {
		return nil, err
	}
	return r, nil
}

// Cluster returns the part of the options that says which cluster, and as whom.
func (o Options) Cluster() cluster.Options {
	return cluster.Options{
		Kubeconfigs: o.Kubeconfigs, Context: o.Context, Namespace: o.Namespace, As: o.As, AsGroups: o.AsGroups,
		Environment: o.Environment, WorkingDirectory: o.WorkingDirectory,
	}
}

// same reports whether a request asks for the connection that there is.
func (r *run) same(other *request) bool {
	return r.namespace() == other.access.Namespace() && r.request.alike(other)
}

// alike reports whether two requests ask for the same connection, but for the namespace. The environment does not count:
// it only matters for getting credentials, and differs from shell to shell.
func (r *request) alike(other *request) bool {
	type key struct {
		context, server, credentials, gateway string

		carrier          CarrierMode
		include, exclude []netip.Prefix
		mapConflicts     bool
		domains, left    []string
	}
	of := func(r *request) key {
		return key{
			context: r.access.Context(), server: r.access.Server(), credentials: r.access.Credentials(),
			gateway: r.gatewayNamespace,
			carrier: r.carrier, include: r.include, exclude: r.exclude, mapConflicts: r.options.MapConflicts,
			domains: slices.Concat(r.options.DNSDomains), left: slices.Concat(r.options.DNSExclude),
		}
	}
	return reflect.DeepEqual(of(r), of(other))
}

// parsePrefixes reads prefixes and single addresses.
func parsePrefixes(flag string, texts []string) ([]netip.Prefix, error) {
	if len(texts) > maxPrefixes {
		return nil, problem.New(problem.Usage, "Put neighbouring ranges together.", "--%s has %d ranges; at most %d are taken", flag, len(texts), maxPrefixes)
	}
	var prefixes []netip.Prefix
	for _, text := range texts {
		prefix, err := parsePrefix(strings.TrimSpace(text))
		if err != nil {
			return nil, problem.New(problem.Usage, "Write a range such as 10.20.0.0/16, or one address.", "--%s %q is not a range of addresses", flag, text)
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

// checkNames refuses names that the helper would refuse.
func checkNames(option string, names []string, check func(string) error) error {
	if len(names) > api.MaxDomains {
		return problem.New(problem.Usage, "Name a domain that they are all below.", "%s has %d names; at most %d are taken", option, len(names), api.MaxDomains)
	}
	for _, name := range names {
		if refusal, ok := errors.AsType[*api.Error](check(name)); ok {
			return problem.New(problem.Usage, refusal.Hint, "%s: %s", option, refusal.Message)
		}
	}
	return nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, err
		}
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix.Masked(), err
}
