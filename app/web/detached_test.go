// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

func (f *fake) Connect(ctx context.Context, _ localapi.ConnectRequest) error { return f.connect(ctx) }

// call is a call as the page makes it.
func call(t *testing.T, page, path, body string) *http.Request {
	t.Helper()
	r := request(t, http.MethodPost, page+path, body)
	r.Header.Set("Origin", page[:strings.Index(page, "/visit/")])
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestAPageThatIsReloadedDoesNotCancelWhatItBegan(t *testing.T) {
	s, backend := newServer(t, testPage)
	client := browser(t)
	page := enter(t, s, client, localapi.PageRequest{})
	began, ended := make(chan context.Context, 1), make(chan struct{})
	backend.connect = func(ctx context.Context) error {
		defer close(ended)
		began <- ctx
		<-ctx.Done()
		return problem.New(problem.Cancelled, "", "cancelled")
	}
	ctx, leave := context.WithCancel(t.Context())
	asking := call(t, page, "v1/connect", "{}").WithContext(ctx)
	asking.Header.Set("Fairlead-Call", "mine")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if response, err := client.Do(asking); err == nil {
			response.Body.Close()
		}
	}()
	work := <-began
	leave()
	<-gone
	// Another call, of another connection of the browser, still finds it, and cancels it.
	got := do(t, client, call(t, page, "v1/cancel", `{"call": "mine"}`))
	if got.status != http.StatusOK {
		t.Errorf("cancel: %d %s", got.status, got.body)
	}
	<-ended
	if localapi.CallOf(work) != "mine" {
		t.Errorf("the call is named %q", localapi.CallOf(work))
	}
}

func TestWhatAPageBeganEndsWithTheDaemon(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	r, done := detached(request(t, http.MethodPost, "http://127.0.0.1/v1/connect", "{}"), ctx, "/v1/connect")
	defer done()
	if err := r.Context().Err(); err != nil {
		t.Fatal(err)
	}
	end()
	<-r.Context().Done()
}

func TestAPageCantHoldAnIntercept(t *testing.T) {
	_, err := fromShell{}.Intercept(t.Context(), localapi.InterceptRequest{Attached: true}, func(string) {})
	if p := problem.From(err); p == nil || p.Code != problem.Usage {
		t.Errorf("got %v", err)
	}
}

func TestKubeconfigsOfTheSettingsGoBeforeTheShell(t *testing.T) {
	backend := &fake{}
	f := fromShell{backend, localapi.PageRequest{Environment: []string{"A=1", "KUBECONFIG=/k"}, WorkingDirectory: "/work"}}
	if got := f.target(localapi.Target{}); !slices.Equal(got.Environment, []string{"A=1", "KUBECONFIG=/k"}) || got.WorkingDirectory != "/work" {
		t.Errorf("got %+v", got)
	}
	backend.settings.Kubeconfigs = []string{"/mine"}
	if got := f.target(localapi.Target{}); !slices.Equal(got.Environment, []string{"A=1"}) {
		t.Errorf("got %+v", got)
	}
}
