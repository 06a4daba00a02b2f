// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// findable is what TestFindWorkload's cluster has, by URL; what is not there is a 404.
const findable = `
/api/v1/namespaces/shop: {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
/apis/apps/v1/namespaces/shop/deployments/api: &api
  {apiVersion: apps/v1, kind: Deployment, metadata: {name: api, namespace: shop, uid: d1}, spec: {template: {metadata: {labels: {app: api}}, spec: {containers: [{name: api}]}}}}
/apis/apps/v1/namespaces/shop/deployments: {apiVersion: apps/v1, kind: DeploymentList, items: [*api]}
/apis/apps/v1/namespaces/shop/statefulsets: {apiVersion: apps/v1, kind: StatefulSetList, items: []}
/apis/apps/v1/namespaces/shop/daemonsets: {apiVersion: apps/v1, kind: DaemonSetList, items: []}
/apis/apps/v1/namespaces/shop/deployments/twin: {apiVersion: apps/v1, kind: Deployment, metadata: {name: twin, namespace: shop}, spec: {template: {metadata: {labels: {app: twin}}}}}
/apis/apps/v1/namespaces/shop/statefulsets/twin: {apiVersion: apps/v1, kind: StatefulSet, metadata: {name: twin, namespace: shop}, spec: {template: {metadata: {labels: {app: twin2}}}}}
/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/canary: {apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: canary, namespace: shop}, spec: {workloadRef: {kind: Deployment, name: api}}}
/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/broken: {apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: broken, namespace: shop}, spec: {workloadRef: {kind: Deployment, name: gone}}}
/apis/batch/v1/namespaces/shop/jobs/migrate: {apiVersion: batch/v1, kind: Job, metadata: {name: migrate, namespace: shop}, spec: {template: {metadata: {labels: {job: migrate}}}}}
/apis/apps/v1/namespaces/shop/replicasets/api-1: {apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: api-1, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: api, uid: d1, controller: true}]}, spec: {template: {metadata: {labels: {app: api}}}}}
/apis/apps/v1/namespaces/shop/replicasets/lone: {apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: lone, namespace: shop}, spec: {template: {metadata: {labels: {app: lone}}}}}
/api/v1/namespaces/shop/pods/api-1-x: &apipod
  {apiVersion: v1, kind: Pod, metadata: {name: api-1-x, namespace: shop, labels: {app: api}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: api-1, uid: r1, controller: true}]}, spec: {containers: [{name: api}]}}
/api/v1/namespaces/shop/pods/bare: &bare
  {apiVersion: v1, kind: Pod, metadata: {name: bare, namespace: shop, labels: {app: bare}}, spec: {containers: [{name: c}]}}
/api/v1/namespaces/shop/pods?app=api: {apiVersion: v1, kind: PodList, items: [*apipod]}
/api/v1/namespaces/shop/pods?tier=all: {apiVersion: v1, kind: PodList, items: [*apipod, *bare]}
/api/v1/namespaces/shop/pods?app=idle: {apiVersion: v1, kind: PodList, items: []}
/api/v1/namespaces/shop/pods: {apiVersion: v1, kind: PodList, items: [*apipod, *bare]}
/api/v1/namespaces/shop/services/front: &front
  {apiVersion: v1, kind: Service, metadata: {name: front, namespace: shop}, spec: {selector: {app: api}}}
/api/v1/namespaces/shop/services/all: {apiVersion: v1, kind: Service, metadata: {name: all, namespace: shop}, spec: {selector: {tier: all}}}
/api/v1/namespaces/shop/services/idle: {apiVersion: v1, kind: Service, metadata: {name: idle, namespace: shop}, spec: {selector: {app: idle}}}
/api/v1/namespaces/shop/services/outside: {apiVersion: v1, kind: Service, metadata: {name: outside, namespace: shop}, spec: {type: ExternalName, externalName: example.com}}
/api/v1/namespaces/shop/services: {apiVersion: v1, kind: ServiceList, items: [*front]}
`

// openFake serves objects by URL, list calls with a label selector by that, and refuses what is refused.
func openFake(t *testing.T, objects, refused string) *Access {
	t.Helper()
	var found map[string]json.RawMessage
	data, err := yaml.YAMLToJSON([]byte(objects))
	if err := errors.Join(err, json.Unmarshal(data, &found)); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.URL.Path
		if selector := r.URL.Query().Get("labelSelector"); selector != "" {
			key += "?" + selector
		}
		w.Header().Set("Content-Type", "application/json")
		switch object, ok := found[key]; {
		case refused != "" && strings.Contains(key, refused):
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"User \"jo\" cannot look"}`)
		case ok:
			w.Write(object) //nolint:errcheck // the client notices
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"message":"not found"}`)
		}
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"test","clusters":[{"name":"c","cluster":{"server":%q}}],
"users":[{"name":"u","user":{"token":"t"}}],"contexts":[{"name":"test","context":{"cluster":"c","user":"u","namespace":"shop"}}]}`, server.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	access, err := Open(Options{Kubeconfigs: []string{file}, Environment: []string{"PATH=/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(access.Close)
	return access
}

func TestFindWorkload(t *testing.T) {
	access := openFake(t, findable, "")
	for _, test := range []struct {
		text string
		want string // KIND/NAME, or part of the error
		code problem.Code
	}{
		{"api", "deployment/api", ""},
		{"deploy/api", "deployment/api", ""},
		{"Deployments.apps/api", "deployment/api", ""},
		{"front", "deployment/api", ""},
		{"svc/front", "deployment/api", ""},
		{"migrate", "job/migrate", ""},
		{"bare", "pod/bare", ""},
		{"lone", "replicaset/lone", ""},
		{"rollout/canary", "rollout/canary", ""},
		{"sts/twin", "statefulset/twin", ""},
		{"twin", "deployment/twin statefulset/twin", problem.Usage},
		{"all", "deployment/api pod/bare", problem.Usage},
		{"pod/api-1-x", "belongs to deployment/api", problem.Usage},
		{"api-1-x", "belongs to deployment/api", problem.Usage},
		{"rs/api-1", "belongs to deployment/api", problem.Usage},
		{"cronjob/x", `no kind "cronjob"`, problem.Usage},
		{"", "names no workload", problem.Usage},
		{"a/b/c", "names no workload", problem.Usage},
		{"nope", `no workload and no Service "nope" deployment/api`, problem.NotFound},
		{"sts/api", `"sts/api"`, problem.NotFound},
		{"svc/nope", `"service/nope"`, problem.NotFound},
		{"idle", "nothing runs behind the Service idle", problem.NotFound},
		{"outside", "selects no pods", problem.NotFound},
		{"rollout/broken", "takes its pods from Deployment/gone", problem.NotFound},
	} {
		found, err := access.FindWorkload(t.Context(), "shop", test.text)
		if test.code == "" {
			if err != nil || found.String() != test.want {
				t.Errorf("%q: got %v, %v", test.text, found, err)
			}
			continue
		}
		p := problem.From(err)
		if p == nil || p.Code != test.code || !strings.Contains(p.Message+" "+strings.Join(p.Details, " "), test.want) {
			t.Errorf("%q: got %+v, want %s %q", test.text, p, test.code, test.want)
		}
	}
}

func TestAFoundWorkloadHasItsTemplateAndServices(t *testing.T) {
	access := openFake(t, findable, "")
	for _, text := range []string{"api", "rollout/canary"} {
		found, err := access.FindWorkload(t.Context(), "shop", text)
		if err != nil || len(found.Template.Spec.Containers) != 1 || len(found.Services) != 1 || found.Services[0].Name != "front" {
			t.Errorf("%s: got %+v, %v", text, found, err)
		}
	}
}

func TestFindWorkloadInNoNamespace(t *testing.T) {
	if _, err := openFake(t, findable, "").FindWorkload(t.Context(), "shpo", "api"); !errors.Is(err, problem.New(problem.NamespaceNotFound, "", "")) {
		t.Errorf("got %v", err)
	}
}

func TestFindWorkloadWithoutRights(t *testing.T) {
	if _, err := openFake(t, findable, "/deployments").FindWorkload(t.Context(), "shop", "api"); !errors.Is(err, problem.New(problem.Forbidden, "", "")) {
		t.Errorf("got %v", err)
	}
	if found, err := openFake(t, findable, "/rollouts").FindWorkload(t.Context(), "shop", "api"); err != nil || found.Kind != "Deployment" {
		t.Errorf("without a right that does not matter: %v, %v", found, err)
	}
	if found, err := openFake(t, findable, "/services").FindWorkload(t.Context(), "shop", "api"); err != nil || len(found.Services) != 0 {
		t.Errorf("without Services: %v, %v", found, err)
	}
}

func TestIsKind(t *testing.T) {
	for text, kind := range map[string]string{"deploy": "Deployment", "STS": "StatefulSet", "rollouts.argoproj.io": "Rollout", "po": "Pod"} {
		if !IsKind(text, kind) || IsKind(text, "Job") {
			t.Errorf("%s is not only %s", text, kind)
		}
	}
}

// TestInterceptsWithoutAGateway: roles go with the gateway, so that a refusal may mean that it is gone.
func TestInterceptsWithoutAGateway(t *testing.T) {
	served := "/apis/fairlead.dev/v1alpha1: {kind: APIResourceList, apiVersion: v1, groupVersion: fairlead.dev/v1alpha1, resources: []}\n"
	for objects, want := range map[string]problem.Code{findable + served: problem.Forbidden, findable: problem.GatewayMissing} {
		if _, err := openFake(t, objects, "/intercepts").Intercepts(t.Context(), "shop", ""); problem.From(err).Code != want {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}
