// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"time"

	authentication "k8s.io/api/authentication/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"

	"golang.org/x/sync/errgroup"
)

// Reach is how a cluster is, as seen from here.
type Reach struct {
	Answer  time.Duration // of the API server to one small request, over a connection that is open
	Version string        // of Kubernetes
	User    string        // as the cluster knows this user
	// APIs: the cluster knows the gateway's API types.
	APIs bool
	// Pods of the gateway; nil with PodsHidden if the user may not look.
	Pods       []core.Pod
	PodsHidden bool
	MayInstall bool // every right is there that installing the gateway needs most
}

// installRights stand for those that installing needs: who has them is an administrator of the cluster.
func installRights(namespace string) []Action {
	return []Action{
		{Verb: "create", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"},
		{Verb: "create", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"},
		{Verb: "create", Group: "rbac.authorization.k8s.io", Resource: "clusterrolebindings"},
		{Verb: "create", Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicies"},
		{Verb: "create", Group: "apps", Resource: "deployments", Namespace: namespace},
		{Verb: "create", Resource: "secrets", Namespace: namespace},
	}
}

// Reach looks at the cluster, and for the gateway in a namespace, with a few small requests. Unlike Explain it never runs
// a credential plugin a second time. Errors are *problem.Problem.
func (a *Access) Reach(ctx context.Context, gatewayNamespace string) (Reach, error) {
	var r Reach
	subject := Subject{Server: a.config.Host, Context: a.context}
	// The first request opens the connection and gets credentials: it says whether there is a cluster, and who asks.
	review, err := a.clients.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authentication.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return r, Classify(err, Action{Verb: "create", Group: "authentication.k8s.io", Resource: "selfsubjectreviews"}, subject)
	}
	r.User = review.Status.UserInfo.Username
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		began := time.Now()
		body, err := a.clients.RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
		r.Answer = time.Since(began)
		var info version.Info
		if err == nil && json.Unmarshal(body, &info) == nil {
			r.Version = info.GitVersion
		}
		return nil // who may not ask for the version may still use the cluster
	})
	group.Go(func() error { r.APIs = a.servesConnections(ctx); return nil })
	group.Go(func() error {
		list, err := a.clients.CoreV1().Pods(gatewayNamespace).List(ctx, metav1.ListOptions{LabelSelector: gatewayPodSelector})
		switch {
		case apierrors.IsForbidden(err):
			r.PodsHidden = true
		case err != nil:
			return Classify(err, Action{Verb: "list", Resource: "pods", Namespace: gatewayNamespace}, subject)
		default:
			r.Pods = list.Items
		}
		return nil
	})
	group.Go(func() error {
		missing, err := a.Missing(ctx, installRights(gatewayNamespace))
		r.MayInstall = err == nil && len(missing) == 0
		return nil
	})
	return r, group.Wait()
}
