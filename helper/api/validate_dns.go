// SPDX-License-Identifier: Apache-2.0

package api

import (
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

const (
	maxLabel  = 63  // bytes of a label (RFC 1035, 2.3.4)
	maxName   = 253 // bytes of a name (RFC 1035, 2.3.4, without the final dot)
	maxDomain = 180 // bytes of the cluster domain: leaves room for <service>.<namespace>.svc. within 253 (RFC 1035)
)

func (d *DNS) validate() error {
	if err := validateClusterDomain(d.ClusterDomain); err != nil {
		return err
	}
	if !isLabel(d.Namespace) {
		return refuse(CodeBadRequest, "", "%q is not the name of a namespace", clip(d.Namespace))
	}
	if len(d.Namespaces) > MaxNamespaces {
		return refuse(CodeBadRequest, "", "%d namespaces are more than the %d allowed", len(d.Namespaces), MaxNamespaces)
	}
	for _, namespace := range d.Namespaces {
		if !isLabel(namespace) {
			return refuse(CodeBadRequest, "", "%q is not the name of a namespace", clip(namespace))
		}
	}
	if len(d.Domains) > MaxDomains || len(d.Exclude) > MaxDomains {
		return refuse(CodeBadRequest, "", "%d domains and %d names left out are more than the %d allowed of each", len(d.Domains), len(d.Exclude), MaxDomains)
	}
	for _, domain := range d.Domains {
		if err := ValidateDomain(domain); err != nil {
			return err
		}
	}
	for _, name := range d.Exclude {
		if err := ValidateName(name); err != nil {
			return err
		}
	}
	return nil
}

// ValidateDomain refuses, with an *Error, a domain that must not be asked of a cluster: what would take over more than one
// organization's names, and the trees that resolvers answer themselves.
func ValidateDomain(domain string) error {
	const hint = "A domain has at least two parts, such as db.example.com, in small letters."
	if err := ValidateName(domain); err != nil {
		return err
	}
	labels := strings.Split(domain, ".")
	if suffix, icann := publicsuffix.PublicSuffix(domain); len(labels) < 2 || icann && suffix == domain {
		return refuse(CodeBadRequest, hint, "%q can't be asked of a cluster: many have names below it", domain)
	}
	if isReserved(labels) {
		return refuse(CodeBadRequest, hint, "%q can't be asked of a cluster: resolvers treat it specially", domain)
	}
	return nil
}

// ValidateName refuses, with an *Error, what is not the name of a host or a domain.
func ValidateName(name string) error {
	if len(name) > maxName || slices.ContainsFunc(strings.Split(name, "."), func(label string) bool { return !isLabel(label) }) {
		return refuse(CodeBadRequest, "A name is such as db.example.com, in small letters and without a dot at its end.", "%q is not a name", clip(name))
	}
	return nil
}

// isReserved reports whether a name is in a tree that resolvers answer or refuse themselves (RFC 6761, RFC 7686).
func isReserved(labels []string) bool {
	return slices.Contains([]string{"arpa", "localhost", "invalid", "onion"}, labels[len(labels)-1])
}

// validateClusterDomain refuses what would take over names that are not one cluster's: the root, a top-level domain,
// a suffix under which anybody registers names, and the trees that resolvers answer themselves.
func validateClusterDomain(domain string) error {
	const hint = "A cluster's domain has at least two parts, such as cluster.local."
	if len(domain) > maxDomain {
		return refuse(CodeBadRequest, hint, "the cluster domain %q is too long", clip(domain))
	}
	labels := strings.Split(domain, ".")
	for _, label := range labels {
		if !isLabel(label) {
			return refuse(CodeBadRequest, hint, "%q is not a domain", domain)
		}
	}
	if len(labels) < 2 {
		return refuse(CodeBadRequest, hint, "%q can't be a cluster's domain: it is a whole top-level domain", domain)
	}
	if suffix, icann := publicsuffix.PublicSuffix(domain); icann && suffix == domain {
		return refuse(CodeBadRequest, hint, "%q can't be a cluster's domain: it is a public suffix", domain)
	}
	if isReserved(labels) {
		return refuse(CodeBadRequest, hint, "%q can't be a cluster's domain: resolvers treat it specially", domain)
	}
	return nil
}

// isLabel reports whether s is a label as Kubernetes names namespaces (RFC 1123): lower case letters, digits, and
// hyphens inside.
func isLabel(s string) bool {
	if len(s) == 0 || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
