// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/backend/settings"
)

func TestWatchersAreServedWhileThereAreAny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs, running := 0, false
		a := &audience{run: func(ctx context.Context) {
			runs++
			running = true
			<-ctx.Done()
			running = false
		}}
		check := func(what string, wantRuns int, wantRunning bool) {
			t.Helper()
			synctest.Wait()
			if runs != wantRuns || running != wantRunning {
				t.Errorf("%s: run %d times, running %v", what, runs, running)
			}
		}
		check("nobody", 0, false)
		first, second := a.enter(), a.enter()
		check("two", 1, true)
		first()
		second()
		time.Sleep(lingerFor - time.Second)
		check("just left", 1, true)
		third := a.enter()
		time.Sleep(2 * lingerFor)
		check("back in time", 1, true)
		third()
		time.Sleep(lingerFor + time.Second)
		check("gone", 1, false)
		fourth := a.enter()
		check("a new one", 2, true)
		a.close()
		check("closed", 2, false)
		fourth()
		a.enter()
		check("after the end", 2, false)
	})
}

func TestChangesOfWorkloadsAreCountedAtALeisurelyPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &operations{board: newBoard()}
		ctx, cancel := context.WithCancel(t.Context())
		changes := make(chan struct{}, 1)
		go o.countChanges(ctx, changes)
		for range 100 {
			select {
			case changes <- struct{}{}:
			default:
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(workloadsEvery)
		s, _, _ := o.board.get()
		if s.Workloads < 5 || s.Workloads > 7 {
			t.Errorf("counted %d in ten seconds", s.Workloads)
		}
		cancel()
		synctest.Wait()
		o.board.close()
	})
}

func TestOneLookAtAClusterAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c checks
		looks := 0
		look := func() localapi.ContextState {
			looks++
			time.Sleep(10 * time.Second) // as somebody who types a password
			return localapi.ContextState{Context: "dev"}
		}
		if _, ok := c.do(t.Context(), "dev", time.Second, look); ok {
			t.Error("answered at once")
		}
		if state, ok := c.do(t.Context(), "dev", time.Minute, look); !ok || state.Context != "dev" || looks != 1 {
			t.Errorf("got %+v, %v after %d looks", state, ok, looks)
		}
		if _, ok := c.do(t.Context(), "dev", time.Minute, look); !ok || looks != 2 {
			t.Errorf("%v after %d looks", ok, looks)
		}
	})
}

// apiServer answers what a look at a cluster asks for.
func apiServer(t *testing.T, gateway bool) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		var answer any
		switch r.URL.Path {
		case "/version":
			answer = map[string]any{"gitVersion": "v1.34.1"}
		case "/apis/authentication.k8s.io/v1/selfsubjectreviews":
			answer = map[string]any{"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "status": map[string]any{"userInfo": map[string]any{"username": "anna"}}}
		case "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
			answer = map[string]any{"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": map[string]any{"allowed": true}}
		case "/api/v1/namespaces/fairlead/pods":
			answer = map[string]any{"kind": "PodList", "apiVersion": "v1", "items": []any{map[string]any{
				"metadata": map[string]any{"name": "g", "labels": map[string]any{"app.kubernetes.io/version": "1.2.0"}},
				"status":   map[string]any{"phase": "Running", "conditions": []any{map[string]any{"type": "Ready", "status": "True"}}},
			}}}
			if !gateway {
				answer = map[string]any{"kind": "PodList", "apiVersion": "v1", "items": []any{}}
			}
		case "/apis/fairlead.dev/v1alpha1":
			answer = map[string]any{"kind": "APIResourceList"}
			if !gateway {
				w.WriteHeader(http.StatusNotFound)
			}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	return server
}

func TestContextState(t *testing.T) {
	o := newTestOperations(t)
	got, err := o.ContextState(t.Context(), kubeconfigFor(t, apiServer(t, true).URL))
	if err != nil || !got.Reachable || got.Context != "dev" || got.Version != "v1.34.1" || got.User != "anna" || got.Gateway != gatewayReady || got.GatewayBy != "1.2.0" || !got.MayInstall || got.Millis <= 0 || got.Problem != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = o.ContextState(t.Context(), kubeconfigFor(t, apiServer(t, false).URL))
	if err != nil || !got.Reachable || got.Gateway != gatewayMissing {
		t.Errorf("without a gateway: %+v, %v", got, err)
	}
	got, err = o.ContextState(t.Context(), kubeconfigFor(t, "http://127.0.0.1:1"))
	if err != nil || got.Reachable || got.Problem == nil || got.Problem.Code != problem.ClusterUnreachable {
		t.Errorf("without a cluster: %+v, %v", got, err)
	}
	got, err = o.ContextState(t.Context(), localapi.Target{Kubeconfigs: []string{"/nowhere"}})
	if err != nil || got.Problem == nil || got.Problem.Code != problem.Kubeconfig {
		t.Errorf("without a kubeconfig: %+v, %v", got, err)
	}
}

func TestWithSettings(t *testing.T) {
	s := settings.Settings{Kubeconfigs: []string{"/mine"}, Carrier: "relay", Include: []string{"10.1.0.0/16"}, Exclude: []string{"10.2.0.0/16"}, DNSDomains: []string{"a.b"}, DNSExclude: []string{"c"}, MapConflicts: true, GatewayNamespace: "fl"}
	r := withSettings(localapi.ConnectRequest{}, s)
	if !slices.Equal(r.Kubeconfigs, s.Kubeconfigs) || r.Carrier != session.CarrierRelay || !slices.Equal(r.Include, s.Include) || !slices.Equal(r.Exclude, s.Exclude) ||
		!slices.Equal(r.DNSDomains, s.DNSDomains) || !slices.Equal(r.DNSExclude, s.DNSExclude) || !r.MapConflicts || r.GatewayNamespace != "fl" {
		t.Errorf("left open: %+v", r)
	}
	asked := localapi.ConnectRequest{Kubeconfigs: []string{"/k"}, Carrier: session.CarrierUDP, Include: []string{"a"}, Exclude: []string{"b"}, GatewayNamespace: "g"}
	if r = withSettings(asked, s); r.Kubeconfigs[0] != "/k" || r.Carrier != session.CarrierUDP || r.Include[0] != "a" || r.Exclude[0] != "b" || r.GatewayNamespace != "g" {
		t.Errorf("asked for: %+v", r)
	}
	if r = withSettings(localapi.ConnectRequest{Environment: []string{"KUBECONFIG=/shell"}}, s); len(r.Kubeconfigs) != 0 {
		t.Errorf("the shell's own: %+v", r)
	}
}

func TestSettingsAreShownAndNoted(t *testing.T) {
	o := newTestOperations(t)
	if _, err := o.SaveSettings(t.Context(), localapi.Settings{Carrier: "pigeon"}); err == nil {
		t.Error("saved nonsense")
	}
	if got, err := o.SaveSettings(t.Context(), localapi.Settings{Theme: settings.ThemeDark}); err != nil || got.Theme != settings.ThemeDark {
		t.Errorf("got %+v, %v", got, err)
	}
	file, gone := filepath.Join(t.TempDir(), "config"), filepath.Join(t.TempDir(), "gone")
	if err := os.WriteFile(file, []byte("apiVersion: v1\nkind: Config\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := o.SaveSettings(t.Context(), localapi.Settings{Theme: settings.ThemeDark, Kubeconfigs: []string{file, gone}}); err == nil || !strings.Contains(err.Error(), gone) {
		t.Errorf("a kubeconfig that is not there: %v", err)
	}
	if _, err := o.SaveSettings(t.Context(), localapi.Settings{Theme: settings.ThemeDark, Kubeconfigs: []string{filepath.Dir(file)}}); err == nil {
		t.Error("a folder is taken as a kubeconfig")
	}
	if got, err := o.SaveSettings(t.Context(), localapi.Settings{Theme: settings.ThemeDark, Kubeconfigs: []string{file}}); err != nil || len(got.Kubeconfigs) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := o.SaveSettings(t.Context(), localapi.Settings{Theme: settings.ThemeDark, Kubeconfigs: []string{file}, Carrier: "udp"}); err != nil {
		t.Errorf("another setting, while a kubeconfig of before is gone: %v", err)
	}
	if _, err := o.SaveSettings(t.Context(), localapi.Settings{Theme: settings.ThemeDark, Terminal: "no-such-terminal -e"}); err == nil || !strings.Contains(err.Error(), `"no-such-terminal"`) {
		t.Errorf("a terminal that is not there: %v", err)
	}
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := o.SaveSettings(t.Context(), localapi.Settings{Theme: settings.ThemeDark, Terminal: own}); err != nil || got.Terminal != own {
		t.Errorf("got %+v, %v", got, err)
	}
	s := o.Snapshot()
	if s.Settings.Theme != settings.ThemeDark || len(s.Activity) == 0 || s.Activity[0].Name != "settings" {
		t.Errorf("got %+v, %+v", s.Settings, s.Activity)
	}
}

func TestWatchSnapshotsEndsWithItsContext(t *testing.T) {
	o := newTestOperations(t)
	ctx, cancel := context.WithCancel(t.Context())
	watched := o.WatchSnapshots(ctx)
	if first := <-watched; first.Session.State != session.Disconnected {
		t.Errorf("got %+v", first.Session)
	}
	cancel()
	for range watched { //nolint:revive // until it is closed
	}
}
