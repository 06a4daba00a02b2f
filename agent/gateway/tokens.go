// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/flows"
)

// What Kubernetes says besides the user of the pod that a projected token is bound to (KEP-2799).
const (
	podNameExtra = "authentication.kubernetes.io/pod-name"
	podUIDExtra  = "authentication.kubernetes.io/pod-uid"
)

// tokenReviews has the API server look at tokens. It implements flows.Tokens.
type tokenReviews struct{ writer client.Writer }

// Review implements flows.Tokens.
func (t tokenReviews) Review(ctx context.Context, token string) (flows.Identity, error) {
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{wire.Audience}}}
	if err := t.writer.Create(ctx, review); err != nil {
		return flows.Identity{}, fmt.Errorf("ask the API server whose token it is: %w", err)
	}
	status := review.Status
	switch {
	case status.Error != "":
		return flows.Identity{}, fmt.Errorf("%w: %s", flows.ErrToken, status.Error)
	case !status.Authenticated || !slices.Contains(status.Audiences, wire.Audience):
		return flows.Identity{}, flows.ErrToken
	}
	identity := flows.Identity{PodUID: types.UID(only(status.User.Extra[podUIDExtra])), PodName: only(status.User.Extra[podNameExtra])}
	if parts := strings.Split(status.User.Username, ":"); len(parts) == 4 && parts[0] == "system" && parts[1] == "serviceaccount" {
		identity.Namespace = parts[2]
	} else {
		return flows.Identity{}, fmt.Errorf("%w: it is not one of a service account", flows.ErrToken)
	}
	return identity, nil
}

// only returns the one value there is, or nothing.
func only(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return ""
}
