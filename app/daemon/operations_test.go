// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/gateway"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

func TestResolveTarget(t *testing.T) {
	last := session.Options{Kubeconfigs: []string{"/a"}, As: "bob", GatewayNamespace: "fl", Environment: []string{"A=1"}}
	connected := localapi.Status{State: session.Connected, Context: "dev", Namespace: "shop"}
	current := localapi.Target{Context: "dev", Namespace: "shop", Kubeconfigs: []string{"/a"}, As: "bob", GatewayNamespace: "fl", Environment: []string{"A=1"}}
	shell := localapi.Target{Environment: []string{"B=2"}, WorkingDirectory: "/tmp"}
	with := func(t localapi.Target, change func(*localapi.Target)) localapi.Target { change(&t); return t }
	for name, test := range map[string]struct {
		asked  localapi.Target
		status localapi.Status
		want   localapi.Target
	}{
		"not connected: what the shell says": {shell, localapi.Status{State: session.Disconnected}, shell},
		"connecting: what the shell says":    {shell, localapi.Status{State: session.Connecting, Context: "dev"}, shell},
		"connected: that cluster":            {shell, connected, current},
		"another namespace of it": {
			with(shell, func(t *localapi.Target) { t.Namespace = "other" }), connected,
			with(current, func(t *localapi.Target) { t.Namespace = "other" }),
		},
		"another context": {with(shell, func(t *localapi.Target) { t.Context = "x" }), connected, with(shell, func(t *localapi.Target) { t.Context = "x" })},
		"another file": {
			with(shell, func(t *localapi.Target) { t.Kubeconfigs = []string{"/b"} }), connected,
			with(shell, func(t *localapi.Target) { t.Kubeconfigs = []string{"/b"} }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := resolveTarget(test.asked, last, test.status); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// kubeconfigFor writes a kubeconfig for an API server and returns a target that uses it.
func kubeconfigFor(t *testing.T, server string) localapi.Target {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	config := strings.ReplaceAll(`{"current-context": "dev",
		"contexts": [{"name": "dev", "context": {"cluster": "c", "namespace": "shop", "user": "u"}}, {"name": "other", "context": {"cluster": "c", "user": "u"}}],
		"clusters": [{"name": "c", "cluster": {"server": "SERVER"}}], "users": [{"name": "u", "user": {"token": "t"}}]}`, "SERVER", server)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return localapi.Target{Kubeconfigs: []string{file}}
}

func newTestOperations(t *testing.T) Operations {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("XDG_CONFIG_HOME", "")
	o, err := NewOperations("1.2.3", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

func TestContextsAreThoseOfTheFile(t *testing.T) {
	got, err := newTestOperations(t).Contexts(t.Context(), kubeconfigFor(t, "https://127.0.0.1:1"))
	if err != nil || got.Current != "dev" || len(got.Contexts) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestWorkloadsAndNamespacesComeFromTheCluster(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		list := map[string]any{"kind": "List", "apiVersion": "v1", "items": []any{}}
		if strings.HasSuffix(r.URL.Path, "/namespaces/nowhere") {
			w.WriteHeader(http.StatusNotFound)
			list = map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": http.StatusNotFound}
		}
		if strings.HasSuffix(r.URL.Path, "/namespaces") {
			list = map[string]any{"kind": "NamespaceList", "apiVersion": "v1", "items": []any{
				map[string]any{"metadata": map[string]any{"name": "shop"}}, map[string]any{"metadata": map[string]any{"name": "default"}},
			}}
			asked = append(asked, r.URL.Path)
		}
		_ = json.NewEncoder(w).Encode(list)
	}))
	defer server.Close()
	o, target := newTestOperations(t), kubeconfigFor(t, server.URL)

	workloads, err := o.Workloads(t.Context(), localapi.WorkloadsRequest{Target: target})
	if err != nil || workloads.Context != "dev" || workloads.Namespace != "shop" || workloads.Workloads == nil {
		t.Errorf("got %+v, %v", workloads, err)
	}
	workloads, err = o.Workloads(t.Context(), localapi.WorkloadsRequest{Target: target, AllNamespaces: true})
	if err != nil || workloads.Namespace != "" {
		t.Errorf("got %+v, %v", workloads, err)
	}
	nowhere := target
	nowhere.Namespace = "nowhere"
	_, err = o.Workloads(t.Context(), localapi.WorkloadsRequest{Target: nowhere})
	if p := problem.From(err); p == nil || p.Code != problem.NamespaceNotFound || !strings.Contains(p.Hint, "default, shop") {
		t.Errorf("got %+v", p)
	}
	namespaces, err := o.Namespaces(t.Context(), target)
	if err != nil || strings.Join(namespaces.Namespaces, " ") != "default shop" {
		t.Errorf("got %+v, %v (asked %v)", namespaces, err, asked)
	}
}

func TestAHelperThatIsNotThereIsAnAnswer(t *testing.T) {
	t.Setenv("FAIRLEAD_HELPER_SOCKET", filepath.Join(t.TempDir(), "nothing"))
	helper, err := newTestOperations(t).Helper(t.Context())
	if err != nil || helper.Running || !errors.Is(helper.Problem, problem.New(problem.HelperMissing, "", "")) {
		t.Fatalf("got %+v, %v", helper, err)
	}
}

func TestChartValuesMustBeAMap(t *testing.T) {
	_, err := newTestOperations(t).GatewayInstall(t.Context(), localapi.GatewayRequest{
		Target: kubeconfigFor(t, "https://127.0.0.1:1"), Values: json.RawMessage(`[1]`),
	}, func(string) {})
	if !errors.Is(err, problem.New(problem.Usage, "", "")) {
		t.Fatalf("got %v", err)
	}
}

func TestDescribeGateway(t *testing.T) {
	since := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	got := describeGateway("dev", gateway.Status{
		Namespace: "fairlead", Installed: true, Ready: true, Version: "1.2.3", UDPType: "NodePort", UDPPort: 31820, Endpoints: []string{"10.0.0.1:51820"},
		Pods:      []gateway.Pod{{Name: "a", Node: "n", State: "Running", Ready: true, Active: true}},
		Connected: []gateway.Connection{{User: "alice", Host: "ship", Phase: "Ready", Since: since}, {User: "bob"}},
	})
	want := localapi.Gateway{
		Context: "dev", Namespace: "fairlead", Installed: true, Ready: true, Version: "1.2.3", ServiceType: "NodePort", UDPPort: 31820, Endpoints: []string{"10.0.0.1:51820"},
		Pods:      []localapi.GatewayPod{{Name: "a", Node: "n", State: "Running", Ready: true, Active: true}},
		Connected: []localapi.GatewayUser{{User: "alice", Host: "ship", Phase: "Ready", Since: &since}, {User: "bob"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
