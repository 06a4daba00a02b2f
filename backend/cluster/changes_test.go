// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

func TestAWatchIsBegunAgain(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))
	for name, test := range map[string]struct {
		fail func(namespace string) error
		want []string // namespace and the second in which it was tried
	}{
		"refused everywhere": {func(string) error { return forbidden }, []string{" 0", "shop 0", "shop 60", "shop 120"}},
		"refused in all": {func(namespace string) error {
			if namespace == "" {
				return forbidden
			}
			time.Sleep(100 * time.Second)
			return ErrWatchEnded
		}, []string{" 0", "shop 0", "shop 100"}},
		"unreachable": {func(string) error { return errors.New("no route") }, []string{" 0", " 0", " 1", " 3", " 7", " 15", " 30", " 45", " 60", " 75", " 90", " 105", " 120"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 130*time.Second)
				defer cancel()
				var tried []string
				began := time.Now()
				again(ctx, "", "shop", func(_ context.Context, namespace string) error {
					tried = append(tried, fmt.Sprintf("%s %d", namespace, int(time.Since(began).Seconds())))
					return test.fail(namespace)
				})
				if !slices.Equal(tried, test.want) {
					t.Errorf("tried %q, want %q", tried, test.want)
				}
			})
		})
	}
}

// changing is an API server whose user may see one namespace, where an Intercept comes and goes.
func changing(t *testing.T) *Access {
	t.Helper()
	object := func(name string) map[string]any {
		return map[string]any{"apiVersion": "fairlead.dev/v1alpha1", "kind": "Intercept", "metadata": map[string]any{"namespace": "shop", "name": name, "resourceVersion": "2"}}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case !strings.Contains(r.URL.Path, "/namespaces/shop/"):
			w.WriteHeader(http.StatusForbidden)
			_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": http.StatusForbidden})
		case r.URL.Query().Get("watch") == "":
			_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": map[string]any{"resourceVersion": "1"}, "items": []any{object("a")}})
		default:
			for _, event := range []map[string]any{{"type": "ADDED", "object": object("b")}, {"type": "DELETED", "object": object("a")}} {
				_ = json.NewEncoder(w).Encode(event)
			}
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	}))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	file := filepath.Join(t.TempDir(), "config")
	config := fmt.Sprintf(`{"current-context":"dev","contexts":[{"name":"dev","context":{"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":%q}}]}`, server.URL)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	access, err := Open(Options{Kubeconfigs: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(access.Close)
	return access
}

func TestWatchIntercepts(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var seen []string
	err := changing(t).WatchIntercepts(ctx, "", "shop", func(all []v1alpha1.Intercept) {
		var names []string
		for _, i := range all {
			names = append(names, i.Name)
		}
		slices.Sort(names)
		if seen = append(seen, strings.Join(names, " ")); len(seen) == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || !slices.Equal(seen, []string{"a", "a b", "b"}) {
		t.Errorf("saw %q, %v", seen, err)
	}
}

func TestWatchWorkloadChanges(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	access, changes := changing(t), make(chan struct{}, 100)
	done := make(chan error, 1)
	go func() {
		done <- access.WatchWorkloadChanges(ctx, "", "shop", func() { changes <- struct{}{} })
	}()
	for range 3 * len(workloadResources) { // the beginning and two events of each
		select {
		case <-changes:
		case <-ctx.Done():
			t.Fatal("not every kind is watched")
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
