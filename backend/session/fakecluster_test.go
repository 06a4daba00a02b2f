// SPDX-License-Identifier: Apache-2.0

package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

// fakeCluster is an API server with one kind of object, and the gateway that answers it.
type fakeCluster struct {
	server *httptest.Server

	mu         sync.Mutex
	broken     int  // HTTP status that everything answers, if not 0
	forbidden  bool // the user may not touch Connections
	absent     bool // there is no gateway, and so no API
	blind      bool // the user may not look at namespaces and pods
	silent     bool // the gateway does not answer
	pods       []core.Pod
	status     v1alpha1.ConnectionStatus
	connection *v1alpha1.Connection
	version    int64
	applied    []v1alpha1.ConnectionSpec
	deleted    int
	changed    chan struct{} // closed and replaced on each change
	gone       int64         // version at which the connection was deleted last
}

func newFakeCluster(t *testing.T) *fakeCluster {
	c := &fakeCluster{
		status: goodStatus(), version: 10, changed: make(chan struct{}),
		pods: []core.Pod{{ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead", Name: "gateway-1"}, Status: core.PodStatus{Phase: core.PodRunning}}},
	}
	c.server = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(func() {
		c.server.CloseClientConnections()
		c.server.Close()
	})
	return c
}

// kubeconfig writes a kubeconfig for the cluster and returns where it is.
func (c *fakeCluster) kubeconfig(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"test",
"clusters":[{"name":"c","cluster":{"server":%q}}],"users":[{"name":"u","user":{"token":"t"}}],
"contexts":[{"name":"test","context":{"cluster":"c","user":"u","namespace":"shop"}}]}`, c.server.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// set changes the cluster, and tells those who watch.
func (c *fakeCluster) set(change func(*fakeCluster)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
	c.version++
	if c.connection != nil {
		c.answer()
	}
	c.wake()
}

func (c *fakeCluster) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// answer does the gateway's work. c.mu is held.
func (c *fakeCluster) answer() {
	c.connection.ResourceVersion = strconv.FormatInt(c.version, 10)
	if c.silent {
		return
	}
	c.connection.Status = *c.status.DeepCopy()
	c.connection.Status.ObservedGeneration = c.connection.Generation
}

// drop deletes the connection, as somebody else would.
func (c *fakeCluster) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	c.gone = c.version
	c.connection = nil
	c.wake()
}

func (c *fakeCluster) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	broken, forbidden, absent, pods := c.broken, c.forbidden, c.absent, c.pods
	blind, namespaces := c.blind, c.status.Namespaces
	c.mu.Unlock()
	resource := schema.GroupResource{Group: "fairlead.dev", Resource: "connections"}
	switch path := r.URL.Path; {
	case broken == http.StatusUnauthorized:
		reply(w, broken, apierrors.NewUnauthorized("Unauthorized").Status())
	case broken != 0:
		reply(w, broken, apierrors.NewServiceUnavailable("going down").Status())
	case strings.HasSuffix(path, "/selfsubjectreviews"):
		reply(w, http.StatusCreated, authentication.SelfSubjectReview{
			TypeMeta: metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "SelfSubjectReview"},
			Status:   authentication.SelfSubjectReviewStatus{UserInfo: authentication.UserInfo{Username: "jo"}},
		})
	case strings.HasSuffix(path, "/selfsubjectaccessreviews"):
		reply(w, http.StatusCreated, authorization.SelfSubjectAccessReview{
			TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SelfSubjectAccessReview"},
			Status:   authorization.SubjectAccessReviewStatus{Allowed: !forbidden},
		})
	case blind && strings.HasPrefix(path, "/api/v1/"):
		reply(w, http.StatusForbidden, apierrors.NewForbidden(schema.GroupResource{}, "", errors.New(`User "jo" cannot look`)).Status())
	case strings.HasSuffix(path, "/pods"):
		reply(w, http.StatusOK, core.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: pods})
	case path == "/api/v1/namespaces":
		list := core.NamespaceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NamespaceList"}}
		for _, name := range namespaces {
			list.Items = append(list.Items, core.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
		reply(w, http.StatusOK, list)
	case strings.HasPrefix(path, "/api/v1/namespaces/") && slices.Contains(namespaces, filepath.Base(path)):
		reply(w, http.StatusOK, core.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: filepath.Base(path)}})
	case absent:
		reply(w, http.StatusNotFound, apierrors.NewNotFound(resource, "").Status())
	case path == "/apis/fairlead.dev/v1alpha1":
		reply(w, http.StatusOK, metav1.APIResourceList{})
	case strings.HasPrefix(path, "/apis/fairlead.dev/v1alpha1/") && forbidden:
		reply(w, http.StatusForbidden, apierrors.NewForbidden(resource, "", errors.New(`User "jo" cannot patch resource`)).Status())
	case strings.HasPrefix(path, "/apis/fairlead.dev/v1alpha1/"):
		c.serveConnection(w, r)
	default: // port-forwards among them
		reply(w, http.StatusNotFound, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "gateway-1").Status())
	}
}

func (c *fakeCluster) serveConnection(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPatch:
		var wanted v1alpha1.Connection
		body, err := io.ReadAll(r.Body)
		if err := errors.Join(err, json.Unmarshal(body, &wanted)); err != nil {
			reply(w, http.StatusBadRequest, apierrors.NewBadRequest(err.Error()).Status())
			return
		}
		reply(w, http.StatusOK, c.apply(wanted))
	case r.Method == http.MethodDelete:
		c.mu.Lock()
		c.deleted++
		c.mu.Unlock()
		c.drop()
		reply(w, http.StatusOK, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess})
	case r.URL.Query().Get("watch") != "":
		c.watch(w, r)
	case r.Method == http.MethodGet:
		c.mu.Lock()
		current := c.connection.DeepCopy()
		c.mu.Unlock()
		if current == nil {
			reply(w, http.StatusNotFound, apierrors.NewNotFound(schema.GroupResource{Group: "fairlead.dev", Resource: "connections"}, "").Status())
			return
		}
		reply(w, http.StatusOK, current)
	default:
		reply(w, http.StatusMethodNotAllowed, apierrors.NewBadRequest(r.Method).Status())
	}
}

func (c *fakeCluster) apply(wanted v1alpha1.Connection) v1alpha1.Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	c.applied = append(c.applied, wanted.Spec)
	wanted.Generation = c.version
	if c.connection != nil {
		wanted.Status = c.connection.Status // of the generation before
	}
	wanted.ResourceVersion = strconv.FormatInt(c.version, 10)
	c.connection = &wanted
	applied := *wanted.DeepCopy()
	c.version++
	c.answer()
	c.wake()
	return applied
}

// watch streams the connection's changes after the version asked for.
func (c *fakeCluster) watch(w http.ResponseWriter, r *http.Request) {
	since, _ := strconv.ParseInt(r.URL.Query().Get("resourceVersion"), 10, 64)
	initial := r.URL.Query().Get("sendInitialEvents") == "true"
	w.Header().Set("Content-Type", "application/json")
	send := func(kind string, object any) {
		json.NewEncoder(w).Encode(map[string]any{"type": kind, "object": object}) //nolint:errcheck // the watcher notices
		w.(http.Flusher).Flush()
	}
	for {
		c.mu.Lock()
		changed, current, version, gone := c.changed, c.connection.DeepCopy(), c.version, c.gone
		stop := c.broken != 0
		c.mu.Unlock()
		switch {
		case stop:
			return
		case current != nil && version > since:
			send("MODIFIED", current)
		case current == nil && gone > since && !initial:
			send("DELETED", &v1alpha1.Connection{TypeMeta: metav1.TypeMeta{APIVersion: "fairlead.dev/v1alpha1", Kind: "Connection"}})
		}
		if initial {
			bookmark := &v1alpha1.Connection{TypeMeta: metav1.TypeMeta{APIVersion: "fairlead.dev/v1alpha1", Kind: "Connection"}}
			bookmark.ResourceVersion = strconv.FormatInt(version, 10)
			bookmark.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
			send("BOOKMARK", bookmark)
			initial = false
		}
		since = version
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func reply(w http.ResponseWriter, code int, object any) {
	if status, ok := object.(metav1.Status); ok {
		status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		object = status
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(object) //nolint:errcheck // the client notices
}
