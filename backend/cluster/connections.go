// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// fieldManager names us in the managed fields of what we apply.
const fieldManager = "fairlead"

var connectionResource = schema.GroupVersionResource{Group: "fairlead.dev", Version: "v1alpha1", Resource: "connections"}

// ConnectionName is the name of the Connection of a user's laptop: readable, and distinct for each pair of the two.
func ConnectionName(user, laptopID string) string {
	sum := sha256.Sum256([]byte(user + "\x00" + laptopID))
	return slug(user) + "-" + hex.EncodeToString(sum[:4])
}

func connectionAction(verb, namespace string) Action {
	return Action{Verb: verb, Group: connectionResource.Group, Resource: connectionResource.Resource, Namespace: namespace}
}

// ApplyConnection creates the Connection, or makes its spec what is given. Errors are *problem.Problem; a cluster
// without the gateway is a problem.GatewayMissing.
func (a *Access) ApplyConnection(ctx context.Context, namespace, name string, spec v1alpha1.ConnectionSpec) (*v1alpha1.Connection, error) {
	wanted := &v1alpha1.Connection{
		TypeMeta:   metav1.TypeMeta{APIVersion: connectionResource.GroupVersion().String(), Kind: "Connection"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       spec,
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(wanted)
	if err != nil {
		return nil, fmt.Errorf("encode connection: %w", err)
	}
	delete(object, "status")
	if metadata, ok := object["metadata"].(map[string]any); ok {
		delete(metadata, "creationTimestamp")
	}
	applied, err := a.objects.Resource(connectionResource).Namespace(namespace).Apply(ctx, name,
		&unstructured.Unstructured{Object: object}, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if err != nil {
		return nil, a.explainConnection(ctx, err, "patch", namespace)
	}
	return decode[v1alpha1.Connection](applied)
}

// DeleteConnection deletes the Connection if it is there. Errors are *problem.Problem.
func (a *Access) DeleteConnection(ctx context.Context, namespace, name string) error {
	err := a.objects.Resource(connectionResource).Namespace(namespace).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return a.explainConnection(ctx, err, "delete", namespace)
	}
	return nil
}

// DeleteConnectionOf deletes the Connection if it is there and still has the public key. Errors are *problem.Problem.
func (a *Access) DeleteConnectionOf(ctx context.Context, namespace, name, publicKey string) error {
	connections := a.objects.Resource(connectionResource).Namespace(namespace)
	object, err := connections.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return a.explainConnection(ctx, err, "get", namespace)
	}
	connection, err := decode[v1alpha1.Connection](object)
	if err != nil {
		return err
	}
	if connection.Spec.PublicKey != publicKey {
		return nil
	}
	err = connections.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &connection.UID, ResourceVersion: &connection.ResourceVersion}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return a.explainConnection(ctx, err, "delete", namespace)
	}
	return nil
}

// ErrConnectionGone says that the Connection that was watched has been deleted.
var ErrConnectionGone = errors.New("the connection object was deleted")

// ErrWatchEnded says that the API server ended a watch, as it does every few minutes.
var ErrWatchEnded = errors.New("watch ended")

// WatchConnection calls each with the Connection after each change, until that fails or the watch ends; it always
// returns an error. It begins after since, a Connection's resourceVersion, or, when that is empty, with the Connection
// as it is. After ErrConnectionGone and after an error of each it is no use to watch again; after any other the caller
// may, with an empty since.
func (a *Access) WatchConnection(ctx context.Context, namespace, name, since string, each func(*v1alpha1.Connection) error) error {
	return watchAs(ctx, a, watched{connectionResource, namespace, name, ErrConnectionGone, a.explainConnection}, since, each)
}

// explainConnection tells a cluster without the gateway from one that refuses.
func (a *Access) explainConnection(ctx context.Context, err error, verb, namespace string) error {
	action := connectionAction(verb, namespace)
	if !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return a.Explain(ctx, err, action)
	}
	if apierrors.IsForbidden(err) && (isAdmissionRefusal(err) || a.servesConnections(ctx)) {
		return a.explainMissing(ctx, err, action)
	}
	return a.gatewayMissing(namespace)
}

// explainMissing names every right that is missing for a connection, not only the one that was noticed first.
func (a *Access) explainMissing(ctx context.Context, err error, action Action) error {
	p := problem.From(a.Explain(ctx, err, action))
	if isAdmissionRefusal(err) {
		return p
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if missing, err := a.Missing(ctx, ConnectRights(action.Namespace)); err == nil && len(missing) > 0 {
		p.Details = nil
		for _, right := range missing {
			p.Details = append(p.Details, right.String())
		}
	}
	return p
}

func (a *Access) gatewayMissing(namespace string) *problem.Problem {
	return problem.New(problem.GatewayMissing,
		"Install it once per cluster with: fairlead gateway install. If it is in another namespace, name that with --gateway-namespace.",
		"the cluster at %s has no Fairlead gateway in namespace %q", a.Server(), namespace)
}

// servesConnections reports whether the cluster knows our API at all, which every authenticated user may ask. When in
// doubt it does.
func (a *Access) servesConnections(ctx context.Context) bool {
	code := 0
	a.clients.RESTClient().Get().AbsPath("/apis", connectionResource.Group, connectionResource.Version).Do(ctx).StatusCode(&code)
	return code != http.StatusNotFound
}
