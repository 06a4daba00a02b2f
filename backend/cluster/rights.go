// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"strings"

	"golang.org/x/sync/errgroup"
	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// ConnectRights are what a user needs to connect through the gateway in a namespace.
func ConnectRights(gatewayNamespace string) []Action {
	return append(ConnectionRights(gatewayNamespace), RelayRights(gatewayNamespace)...)
}

// ConnectionRights are the rights that connecting needs whatever carries the packets.
func ConnectionRights(gatewayNamespace string) []Action {
	var rights []Action
	for _, verb := range []string{"get", "watch", "create", "patch", "delete"} {
		rights = append(rights, Action{Verb: verb, Group: "fairlead.dev", Resource: "connections", Namespace: gatewayNamespace})
	}
	return rights
}

// RelayRights are what a user needs in addition for the relay carrier. Both verbs are needed: WebSocket requests are
// a get, SPDY requests a create.
func RelayRights(gatewayNamespace string) []Action {
	return []Action{
		{Verb: "get", Resource: "pods/portforward", Namespace: gatewayNamespace},
		{Verb: "create", Resource: "pods/portforward", Namespace: gatewayNamespace},
	}
}

// Missing returns those of the rights that the user does not have, in their order.
func (a *Access) Missing(ctx context.Context, rights []Action) ([]Action, error) {
	denied := make([]bool, len(rights))
	group, ctx := errgroup.WithContext(ctx)
	for i, right := range rights {
		group.Go(func() error {
			allowed, err := a.allowed(ctx, right)
			denied[i] = !allowed
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, a.Explain(ctx, err, Action{Verb: "create", Group: "authorization.k8s.io", Resource: "selfsubjectaccessreviews"})
	}
	var missing []Action
	for i, right := range rights {
		if denied[i] {
			missing = append(missing, right)
		}
	}
	return missing, nil
}

// allowed asks the API server about one right.
func (a *Access) allowed(ctx context.Context, right Action) (bool, error) {
	resource, sub, _ := strings.Cut(right.Resource, "/")
	review, err := a.clients.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorization.SelfSubjectAccessReview{
		Spec: authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorization.ResourceAttributes{
			Namespace: right.Namespace, Verb: right.Verb, Group: right.Group, Resource: resource, Subresource: sub,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

// ForbiddenBy makes one problem of the rights that are missing.
func ForbiddenBy(missing []Action, user string) *problem.Problem {
	p := problem.New(problem.Forbidden, GrantHint(missing[0], user), "the cluster does not let %s %s", user, missing[0])
	for _, right := range missing {
		p.Details = append(p.Details, right.String())
	}
	return p
}
