// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/charts"
)

func TestReadManifest(t *testing.T) {
	objects, err := readManifest("---\n# Source: a\nkind: A\nmetadata: {name: a}\n---\n---\n# nothing\n---\nkind: B\nmetadata: {name: b, namespace: shop}\n")
	if err != nil || len(objects) != 2 || objects[0].GetKind() != "A" || objects[1].GetNamespace() != "shop" {
		t.Errorf("got %v, %v", objects, err)
	}
	if _, err := readManifest("a: [\n"); err == nil {
		t.Error("took what is no YAML")
	}
}

// planCluster is an API server without objects, but for those named by their paths.
type planCluster struct {
	*httptest.Server
	denied func(cluster.Action) bool

	mu      sync.Mutex
	objects map[string]any
	changed []string // requests that would change something for good
}

func newPlanCluster(t *testing.T) *planCluster {
	t.Helper()
	c := &planCluster{objects: map[string]any{}}
	c.Server = httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.Close)
	return c
}

func (c *planCluster) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	dry := r.URL.Query().Get("dryRun") == "All"
	if r.Method != http.MethodGet && !dry {
		c.changed = append(c.changed, r.Method+" "+r.URL.Path)
	}
	object, there := c.objects[r.URL.Path]
	switch {
	case r.URL.Path == "/version":
		object = map[string]any{"major": "1", "minor": "34", "gitVersion": "v1.34.1"}
	case strings.HasSuffix(r.URL.Path, "/secrets"):
		object = map[string]any{"kind": "SecretList", "apiVersion": "v1", "items": []any{}}
	case dry:
		w.WriteHeader(http.StatusForbidden)
		object = map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": http.StatusForbidden}
	case !there:
		w.WriteHeader(http.StatusNotFound)
		object = map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": http.StatusNotFound}
	}
	_ = json.NewEncoder(w).Encode(object)
}

// access is a fakeCluster with the API server, and with rights.
type access struct {
	fakeCluster
	cluster *planCluster
}

func (a access) RESTConfig() *rest.Config { return &rest.Config{Host: a.cluster.URL} }

func (a access) Missing(_ context.Context, rights []cluster.Action) ([]cluster.Action, error) {
	var missing []cluster.Action
	for _, right := range rights {
		if a.cluster.denied != nil && a.cluster.denied(right) {
			missing = append(missing, right)
		}
	}
	return missing, nil
}

func planOf(t *testing.T, c *planCluster, options Options) Plan {
	t.Helper()
	m, err := NewManager(access{cluster: c})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := m.Plan(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.changed) > 0 {
		t.Errorf("a plan has changed something: %v", c.changed)
	}
	return plan
}

func TestPlanOfAnInstall(t *testing.T) {
	c := newPlanCluster(t)
	c.objects["/apis/rbac.authorization.k8s.io/v1/clusterroles/fairlead-viewer"] = map[string]any{
		"kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": map[string]any{"name": "fairlead-viewer"},
	}
	plan := planOf(t, c, Options{Version: "1.2.3", Image: "registry.test/agent:9"})
	if plan.Namespace != "fairlead" || plan.Version != "1.2.3" || plan.Image != "registry.test/agent:9" || len(plan.Missing) > 0 {
		t.Errorf("got %+v", plan)
	}
	if first := plan.Objects[0]; first.Kind != "Namespace" || first.What != Create {
		t.Errorf("the first is %+v", first)
	}
	kinds := map[string]Effect{}
	for _, o := range plan.Objects {
		kinds[o.Kind+"/"+o.Name] = o.What
		if o.Why == "" {
			t.Errorf("nobody says what %s %s is for", o.Kind, o.Name)
		}
		if clusterWide := strings.HasPrefix(o.Kind, "Cluster") || strings.HasPrefix(o.Kind, "Custom") || o.Kind == "Namespace" || strings.Contains(o.Kind, "Admission") || strings.Contains(o.Kind, "Webhook"); clusterWide != (o.Namespace == "") {
			t.Errorf("%s %s is in namespace %q", o.Kind, o.Name, o.Namespace)
		}
	}
	if kinds["Deployment/fairlead-gateway"] != Create || kinds["CustomResourceDefinition/connections.fairlead.dev"] != Create || kinds["ClusterRole/fairlead-viewer"] != Change {
		t.Errorf("got %v", kinds)
	}
}

func TestPlanNamesTheRightsThatAreMissing(t *testing.T) {
	c := newPlanCluster(t)
	c.denied = func(a cluster.Action) bool { return a.Verb == "create" && a.Namespace == "" }
	plan := planOf(t, c, Options{Version: "1.2.3"})
	for _, want := range []cluster.Action{
		{Verb: "create", Resource: "namespaces"}, {Verb: "create", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"},
		{Verb: "create", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"},
	} {
		if !slices.Contains(plan.Missing, want) {
			t.Errorf("does not miss %s: %v", want, plan.Missing)
		}
	}
	c.denied = func(a cluster.Action) bool { return a.Verb == "escalate" }
	plan = planOf(t, c, Options{Version: "1.2.3"})
	if len(plan.Missing) != 1 || plan.Missing[0].Verb != "escalate" {
		t.Errorf("who may make roles and lacks what is in them: %v", plan.Missing)
	}
}

func TestWhatIsAsItWasIsKept(t *testing.T) {
	c := newPlanCluster(t)
	m, err := NewManager(access{cluster: c})
	if err != nil {
		t.Fatal(err)
	}
	helm, err := m.helmFor("fairlead")
	if err != nil {
		t.Fatal(err)
	}
	chart, err := charts.Load("1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := m.render(t.Context(), helm, chart, map[string]any{}, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range wanted {
		resource, namespaced := resourceOf(o.GroupVersionKind())
		path := "/apis/" + resource.Group + "/" + resource.Version
		if resource.Group == "" {
			path = "/api/v1"
		}
		if namespaced {
			path += "/namespaces/fairlead"
		}
		c.objects[path+"/"+resource.Resource+"/"+o.GetName()] = o.Object
	}
	objects, err := m.compare(t.Context(), "fairlead", wanted, wanted[1:])
	if err != nil {
		t.Fatal(err)
	}
	for n, o := range objects[1:] {
		if want := map[bool]Effect{true: Change, false: Keep}[n == 0]; o.What != want {
			t.Errorf("%s %s: %s, want %s", o.Kind, o.Name, o.What, want)
		}
	}
}
