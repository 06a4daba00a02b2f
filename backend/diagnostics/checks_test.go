// SPDX-License-Identifier: Apache-2.0

package diagnostics

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/client"
)

// fakeHelper answers Version and Status; nothing else is asked of it.
type fakeHelper struct {
	session.Helper
	dialErr, versionErr error
	version             string
	status              api.Status
}

func (h fakeHelper) Dial(context.Context) (session.Helper, error) { return h, h.dialErr }
func (h fakeHelper) Version(context.Context) (api.VersionReply, error) {
	return api.VersionReply{Version: h.version}, h.versionErr
}
func (h fakeHelper) Status(context.Context) (api.Status, error) { return h.status, nil }
func (h fakeHelper) Close() error                               { return nil }

// fakeCluster is an API server: a path's end and what is answered to it.
func fakeCluster(t *testing.T, answers map[string]string) session.Options {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for end, answer := range answers {
			if strings.HasSuffix(r.URL.Path, end) {
				fmt.Fprint(w, answer)
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	config := fmt.Sprintf(`{"kind":"Config","apiVersion":"v1","current-context":"test","clusters":[{"name":"c","cluster":{"server":%q}}],
"contexts":[{"name":"test","context":{"cluster":"c"}}]}`, server.URL)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return session.Options{Kubeconfigs: []string{file}}
}

func serverOf(t *testing.T, options session.Options) string {
	t.Helper()
	access, err := cluster.Open(options.Cluster())
	if err != nil {
		t.Fatal(err)
	}
	defer access.Close()
	return access.Server()
}

func gatewayPod(active bool, image string) string {
	pod := core.Pod{}
	pod.Name = "gateway-1"
	pod.Labels = map[string]string{}
	if active {
		pod.Labels["fairlead.dev/active"] = "true"
	}
	pod.Spec.Containers = []core.Container{{Image: image}}
	pod.Status.Conditions = []core.PodCondition{{Type: core.PodReady, Status: core.ConditionTrue}}
	text, _ := json.Marshal(core.PodList{Items: []core.Pod{pod}})
	return string(text)
}

const (
	whoami     = `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","status":{"userInfo":{"username":"jo"}}}`
	allowed    = `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}`
	denied     = `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":false}}`
	ourAPI     = `{"kind":"APIResourceList","apiVersion":"v1"}`
	reviewPath = "/selfsubjectreviews"
	accessPath = "/selfsubjectaccessreviews"
	apiPath    = "/apis/fairlead.dev/v1alpha1"
	podsPath   = "/namespaces/fairlead/pods"
	nsPath     = "/namespaces/default"
	namespace  = `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"default"}}`
)

func TestRun(t *testing.T) {
	well := fakeHelper{version: "0.1.0"}
	good := map[string]string{reviewPath: whoami, accessPath: allowed, apiPath: ourAPI, podsPath: gatewayPod(true, "ghcr.io/x/agent:0.1.0"), nsPath: namespace}
	with := func(path, answer string) map[string]string {
		changed := map[string]string{}
		for k, v := range good {
			changed[k] = v
		}
		changed[path] = answer
		return changed
	}
	notFound := with(nsPath, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
	notFound["/v1/namespaces"] = `{"kind":"NamespaceList","apiVersion":"v1","items":[{"metadata":{"name":"shop"}}]}`
	connected := session.Status{State: session.Connected, DNS: session.DNSStatus{ClusterDomain: "cluster.invalid"}}
	tests := []struct {
		name    string
		helper  fakeHelper
		cluster map[string]string
		status  session.Status
		check   string // the check that is looked at
		want    Result
		text    string // in its message or hint
	}{
		{"helper", well, good, session.Status{}, "helper", OK, "runs"},
		{"helper missing", fakeHelper{dialErr: client.ErrUnavailable}, good, session.Status{}, "helper", Fail, "sudo fairlead helper install"},
		{"helper denies", fakeHelper{versionErr: &api.Error{Code: api.CodeDenied, Message: "not you"}}, good, session.Status{}, "helper-access", Fail, "not you"},
		{"helper too old", fakeHelper{version: "0.0.1"}, good, session.Status{}, "helper-version", Fail, "0.0.1"},
		{"cluster", well, good, session.Status{}, "cluster", OK, "you are jo"},
		{"no identity", well, map[string]string{}, session.Status{}, "cluster", Fail, ""},
		{"no gateway", well, map[string]string{reviewPath: whoami}, session.Status{}, "gateway", Fail, "fairlead gateway install"},
		{"gateway", well, good, session.Status{}, "gateway", OK, "gateway-1 is ready"},
		{"gateway does not serve", well, with(podsPath, gatewayPod(false, "x")), session.Status{}, "gateway", Fail, "none of its pods serves: gateway-1"},
		{"gateway without pods", well, with(podsPath, `{"items":[]}`), session.Status{}, "gateway", Fail, "no pods"},
		{"gateway version", well, good, session.Status{}, "gateway-version", OK, "0.1.0"},
		{"gateway too old", well, with(podsPath, gatewayPod(true, "agent:0.0.3@sha256:0")), session.Status{}, "gateway-version", Fail, "too old"},
		{"rights", well, good, session.Status{}, "rights", OK, "namespace fairlead"},
		{"rights missing", well, with(accessPath, denied), session.Status{}, "rights", Fail, "kubectl create rolebinding fairlead-connect-jo"},
		{"namespace", well, good, session.Status{}, "namespace", OK, "the namespace default is there"},
		{"no namespace", well, notFound, session.Status{}, "namespace", Fail, "The cluster has: shop."},
		{"connected to another context", well, good, session.Status{State: session.Connected, Context: "prod", User: "jo"}, "connection", Skip, "connected to prod as jo, not to test"},
		{"connected to another server", well, good, session.Status{State: session.Connected, Context: "test", Server: "https://other"}, "connection", Skip, "not to test at http"},
		{"not connected", well, good, session.Status{}, "names", Skip, "not connected"},
		{"connection in trouble", well, good, session.Status{State: session.Reconnecting, Problem: problem.New(problem.NoCarrier, "do this", "nothing gets through")}, "connection", Fail, "nothing gets through"},
		{"connecting", well, good, session.Status{State: session.Connecting, Step: "asking"}, "connection", Warn, "asking"},
		{"on the relay", well, good, session.Status{State: session.Connected, Carrier: session.CarrierStatus{Active: "relay", Reason: "UDP is not answered"}}, "carrier", Warn, "UDP is not answered"},
		{"on UDP", well, good, session.Status{State: session.Connected, Carrier: session.CarrierStatus{Active: "udp", RTT: 1.5}}, "carrier", OK, "udp, round trip 1.5 ms"},
		{"no intercepts", well, good, session.Status{State: session.Connected}, "intercepts", Skip, "none"},
		{"intercepts", well, good, intercepting("Active", true), "intercepts", OK, "1, all of them active"},
		{"intercept in trouble", well, good, intercepting("Suspended", true), "intercepts", Warn, "api is suspended"},
		{"nobody listens", well, good, intercepting("Active", false), "intercepts", Warn, "nothing listens on 127.0.0.1:3000, where port 8080 of api goes"},
		{"names", well, good, connected, "names", Fail, "kubernetes.default.svc.cluster.invalid"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			options := fakeCluster(t, test.cluster)
			test.status.Context = cmp.Or(test.status.Context, "test")
			test.status.Server = cmp.Or(test.status.Server, serverOf(t, options))
			checks := Run(t.Context(), Environment{Version: "0.1.0", Options: options, Status: test.status, Helper: test.helper})
			var names []string
			for _, c := range checks {
				names = append(names, c.Name)
				if c.Title == "" || c.Message == "" || (c.Status == Fail || c.Status == Warn) && c.Hint == "" {
					t.Errorf("incomplete: %+v", c)
				}
				if c.Name == test.check && (c.Status != test.want || !strings.Contains(c.Message+c.Hint, test.text)) {
					t.Errorf("got %+v, want %s with %q", c, test.want, test.text)
				}
			}
			want := []string{"helper", "helper-version", "helper-access", "kubeconfig", "cluster", "gateway", "gateway-version", "rights", "namespace", "connection", "carrier", "names", "service", "intercepts"}
			if !slices.Equal(names, want) {
				t.Errorf("checks %v, want %v", names, want)
			}
		})
	}
}

// intercepting is the status of a session with one intercept.
func intercepting(phase string, listening bool) session.Status {
	return session.Status{State: session.Connected, Intercepts: []session.Intercept{{
		Name: "api-1", Phase: phase, Workload: session.InterceptWorkload{Kind: "Deployment", Name: "api"},
		Ports: []session.InterceptedPort{{Port: 8080, Protocol: "TCP", Local: "127.0.0.1:3000", Listening: listening}},
	}}}
}
