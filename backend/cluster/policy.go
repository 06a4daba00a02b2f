// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"slices"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// podSecurityLabel of a namespace is the Pod Security level that it enforces (Pod Security Admission, KEP-2579).
const podSecurityLabel = "pod-security.kubernetes.io/enforce"

// PodSecurity returns the Pod Security level that a namespace enforces; empty for none. Errors are *problem.Problem.
func (a *Access) PodSecurity(ctx context.Context, namespace string) (string, error) {
	found, err := a.clients.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	if err != nil {
		return "", a.Explain(ctx, err, Action{Verb: "get", Resource: "namespaces"})
	}
	return found.Labels[podSecurityLabel], nil
}

// Policy is what a gateway is set to do about intercepts.
type Policy struct {
	Intercepts        bool          // there may be some
	Redirect          string        // Auto, Instant or Unprivileged
	PersonalBesideAll bool          // personal intercepts may be beside one of all traffic
	MaxDuration       time.Duration // of an intercept; 0 where that is not known
}

// PolicyOf reads a gateway's settings from its pods; false if they do not say.
func PolicyOf(pods []core.Pod) (Policy, bool) {
	i := max(0, slices.IndexFunc(pods, func(p core.Pod) bool { return p.Labels[ActiveLabel] == "true" }))
	if i >= len(pods) || len(pods[i].Spec.Containers) == 0 {
		return Policy{}, false
	}
	policy := Policy{Redirect: "Auto"}
	for _, argument := range pods[i].Spec.Containers[0].Args {
		name, value, _ := strings.Cut(argument, "=")
		switch name {
		case "--intercepts":
			policy.Intercepts = value != "false"
		case "--redirect":
			policy.Redirect = value
		case "--personal-beside-all":
			policy.PersonalBesideAll = value != "false"
		case "--intercept-max-duration":
			policy.MaxDuration, _ = time.ParseDuration(value)
		}
	}
	return policy, true
}
