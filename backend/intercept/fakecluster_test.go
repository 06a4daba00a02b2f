// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	authorization "k8s.io/api/authorization/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/cluster"
)

// fakeCluster is an API server with the deployment shop/api, and a gateway that does with intercepts what a test wants.
type fakeCluster struct {
	server *httptest.Server

	mu      sync.Mutex
	broken  bool                      // it answers nothing but errors
	narrow  bool                      // the user may not look in all namespaces
	gateway func(*v1alpha1.Intercept) // is called on each change; nil makes everything active, and ends what is left
	objects map[string]*v1alpha1.Intercept
	version int64

	pods        int // of the deployment; negative if the user may not see them
	level       string
	gatewayPods []core.Pod // none if the user may not see them
	deploy      func(*core.PodSpec)

	changed chan struct{} // closed and replaced on each change
}

func newFakeCluster(t *testing.T) *fakeCluster {
	c := &fakeCluster{objects: map[string]*v1alpha1.Intercept{}, changed: make(chan struct{}), version: 10}
	c.server = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(func() { c.server.CloseClientConnections(); c.server.Close() })
	return c
}

// access returns access to the cluster as the user jo.
func (c *fakeCluster) access(t *testing.T) *cluster.Access {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"test",
"clusters":[{"name":"c","cluster":{"server":%q}}],"users":[{"name":"u","user":{"token":"t"}}],
"contexts":[{"name":"test","context":{"cluster":"c","user":"u","namespace":"shop"}}]}`, c.server.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	access, err := cluster.Open(cluster.Options{Kubeconfigs: []string{file}, Environment: []string{"PATH=/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(access.Close)
	return access
}

// set changes the cluster, and tells those who watch.
func (c *fakeCluster) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	c.settle()
}

// await waits until the cluster is as wanted; is is called with c.mu held.
func (c *fakeCluster) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		c.mu.Lock()
		done, changed := is(), c.changed
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// settle lets the gateway act. c.mu is held.
func (c *fakeCluster) settle() {
	for _, o := range c.objects {
		before, _ := json.Marshal(o)
		if c.gateway != nil {
			c.gateway(o)
		} else {
			makeActive(o)
		}
		if after, _ := json.Marshal(o); string(after) != string(before) || o.ResourceVersion == "" {
			c.version++
			o.ResourceVersion = strconv.FormatInt(c.version, 10)
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// makeActive is what a gateway does when all is well.
func makeActive(o *v1alpha1.Intercept) {
	o.Status.Phase, o.Status.PodsReady, o.Status.PodsCovered = v1alpha1.InterceptActive, 1, 1
	if o.Spec.Leaving {
		o.Status.Phase = v1alpha1.InterceptEnded
	}
}

// all returns what there is.
func (c *fakeCluster) all() []v1alpha1.Intercept {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []v1alpha1.Intercept
	for _, o := range c.objects {
		all = append(all, *o.DeepCopy())
	}
	return all
}

func (c *fakeCluster) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	broken, narrow := c.broken, c.narrow
	count, level, gatewayPods, deploy := c.pods, c.level, c.gatewayPods, c.deploy
	c.mu.Unlock()
	resource := schema.GroupResource{Group: "fairlead.dev", Resource: "intercepts"}
	switch p := r.URL.Path; {
	case broken:
		answer(w, http.StatusServiceUnavailable, apierrors.NewServiceUnavailable("going down").Status())
	case strings.HasSuffix(p, "/selfsubjectaccessreviews"):
		answer(w, http.StatusCreated, authorization.SelfSubjectAccessReview{TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SelfSubjectAccessReview"}})
	case p == "/api/v1/namespaces/shop/pods" && count >= 0:
		answer(w, http.StatusOK, core.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: podsOfTheDeployment(count)})
	case p == "/api/v1/namespaces/fairlead/pods" && gatewayPods != nil:
		answer(w, http.StatusOK, core.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: gatewayPods})
	case p == "/api/v1/namespaces/shop":
		answer(w, http.StatusOK, core.Namespace{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"pod-security.kubernetes.io/enforce": level}},
		})
	case strings.HasSuffix(p, "/shop/deployments/api"):
		d := apps.Deployment{
			TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"},
			Spec: apps.DeploymentSpec{Template: core.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "api"}},
				Spec:       core.PodSpec{Containers: []core.Container{{Name: "api", Ports: []core.ContainerPort{{Name: "http", ContainerPort: 8080}}}}},
			}},
		}
		if deploy != nil {
			deploy(&d.Spec.Template.Spec)
		}
		answer(w, http.StatusOK, d)
	case strings.HasSuffix(p, "/shop/services"):
		answer(w, http.StatusOK, core.ServiceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceList"}, Items: []core.Service{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api"},
			Spec:       core.ServiceSpec{Selector: map[string]string{"app": "api"}, Ports: []core.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}}},
		}}})
	case p == "/apis/fairlead.dev/v1alpha1":
		answer(w, http.StatusOK, metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "fairlead.dev/v1alpha1"})
	case p == "/apis/fairlead.dev/v1alpha1/intercepts" && narrow:
		answer(w, http.StatusForbidden, apierrors.NewForbidden(resource, "", errors.New(`User "jo" cannot list resource`)).Status())
	case strings.HasPrefix(p, "/apis/fairlead.dev/v1alpha1/") && strings.Contains(p, "/intercepts"):
		c.serveIntercepts(w, r)
	default:
		answer(w, http.StatusNotFound, apierrors.NewNotFound(schema.GroupResource{}, path.Base(p)).Status())
	}
}

// podsOfTheDeployment are as many pods of shop/api.
func podsOfTheDeployment(count int) []core.Pod {
	yes := true
	var pods []core.Pod
	for i := range count {
		pods = append(pods, core.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: fmt.Sprintf("api-1-%d", i), Labels: map[string]string{"app": "api"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "api-1", Controller: &yes}},
		}})
	}
	return pods
}

func (c *fakeCluster) serveIntercepts(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") != "" {
		c.watch(w, r)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	name := path.Base(r.URL.Path)
	o := c.objects[name]
	switch {
	case r.Method == http.MethodPost:
		o = &v1alpha1.Intercept{}
		if err := json.NewDecoder(r.Body).Decode(o); err != nil {
			answer(w, http.StatusBadRequest, apierrors.NewBadRequest(err.Error()).Status())
			return
		}
		c.version++
		o.UID, o.Generation, o.ResourceVersion = types.UID("uid-"+o.Name), 1, strconv.FormatInt(c.version, 10)
		c.objects[o.Name] = o
		answer(w, http.StatusCreated, o.DeepCopy())
		c.settle()
	case r.Method == http.MethodGet && name == "intercepts":
		list := v1alpha1.InterceptList{TypeMeta: metav1.TypeMeta{APIVersion: "fairlead.dev/v1alpha1", Kind: "InterceptList"}}
		for _, o := range c.objects {
			if strings.HasSuffix(r.URL.Path, "v1alpha1/intercepts") || strings.Contains(r.URL.Path, "/namespaces/"+o.Namespace+"/") {
				list.Items = append(list.Items, *o)
			}
		}
		answer(w, http.StatusOK, list)
	case o == nil:
		answer(w, http.StatusNotFound, apierrors.NewNotFound(schema.GroupResource{Resource: "intercepts"}, name).Status())
	case r.Method == http.MethodPatch:
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, o); err != nil { // as a merge patch, for what is patched here
			answer(w, http.StatusBadRequest, apierrors.NewBadRequest(err.Error()).Status())
			return
		}
		c.version++
		o.Generation++
		o.ResourceVersion = strconv.FormatInt(c.version, 10)
		answer(w, http.StatusOK, o.DeepCopy())
		c.settle()
	case r.Method == http.MethodDelete:
		delete(c.objects, name)
		answer(w, http.StatusOK, metav1.Status{Status: metav1.StatusSuccess})
		c.settle()
	default:
		answer(w, http.StatusMethodNotAllowed, apierrors.NewBadRequest(r.Method).Status())
	}
}

// watch streams one object's changes after the version asked for.
func (c *fakeCluster) watch(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name=")
	since, _ := strconv.ParseInt(r.URL.Query().Get("resourceVersion"), 10, 64)
	initial := r.URL.Query().Get("sendInitialEvents") == "true"
	w.Header().Set("Content-Type", "application/json")
	send := func(kind string, o *v1alpha1.Intercept) {
		o.TypeMeta = metav1.TypeMeta{APIVersion: "fairlead.dev/v1alpha1", Kind: "Intercept"}
		json.NewEncoder(w).Encode(map[string]any{"type": kind, "object": o}) //nolint:errcheck // the watcher notices
		w.(http.Flusher).Flush()
	}
	was := !initial
	for {
		c.mu.Lock()
		changed, o, broken := c.changed, c.objects[name].DeepCopy(), c.broken
		c.mu.Unlock()
		switch {
		case broken:
			return
		case o != nil:
			was = true
			if version, _ := strconv.ParseInt(o.ResourceVersion, 10, 64); version > since {
				since = version
				send("MODIFIED", o)
			}
		case was:
			send("DELETED", &v1alpha1.Intercept{ObjectMeta: metav1.ObjectMeta{Name: name}})
			return
		}
		if initial {
			send("BOOKMARK", &v1alpha1.Intercept{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}})
			initial = false
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func answer(w http.ResponseWriter, code int, object any) {
	if status, ok := object.(metav1.Status); ok {
		status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		object = status
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(object) //nolint:errcheck // the client notices
}
