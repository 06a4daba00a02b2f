// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"

	"golang.org/x/net/publicsuffix"
)

const (
	maxLabel  = 63  // bytes of a label (RFC 1035, 2.3.4)
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
	return nil
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
	switch labels[len(labels)-1] {
	case "arpa", "localhost", "invalid", "onion":
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
