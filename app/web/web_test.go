// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// fake is a Backend that says what it was asked for. Methods that are not there are not called.
type fake struct {
	localapi.Backend
	calls localapi.Calls
	asked chan localapi.Target

	settings localapi.Settings
	connect  func(context.Context) error
}

func (f *fake) Calls() *localapi.Calls { return &f.calls }

func (f *fake) Settings() localapi.Settings { return f.settings }

func (f *fake) Status() localapi.Status { return localapi.Status{State: session.Disconnected} }

func (f *fake) Contexts(_ context.Context, t localapi.Target) (localapi.Contexts, error) {
	f.asked <- t
	return localapi.Contexts{}, nil
}

var testPage = fstest.MapFS{
	"index.html":    {Data: []byte("<!doctype html><title>the page</title>")},
	"assets/app.js": {Data: []byte("let page")},
}

func newServer(t *testing.T, page fs.FS) (*Server, *fake) {
	t.Helper()
	backend := &fake{asked: make(chan localapi.Target, 1)}
	s := New(Config{Backend: backend, Page: page, Log: slog.New(slog.DiscardHandler), Context: t.Context()})
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	return s, backend
}

// browser is a client with cookies that does not follow redirects.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

func do(t *testing.T, client *http.Client, r *http.Request) reply {
	t.Helper()
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(body)}
}

func request(t *testing.T, method, address, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// enter opens the page with client and returns its address, which ends with a slash.
func enter(t *testing.T, s *Server, client *http.Client, shell localapi.PageRequest) string {
	t.Helper()
	page, err := s.Open(shell)
	if err != nil {
		t.Fatal(err)
	}
	got := do(t, client, request(t, http.MethodGet, page.URL, ""))
	_, path, ok := strings.Cut(got.header.Get("Refresh"), "url=")
	if got.status != http.StatusOK || !ok {
		t.Fatalf("open: %d, Refresh %q", got.status, got.header.Get("Refresh"))
	}
	u, err := url.Parse(page.URL)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + u.Host + path
}

func TestATokenOpensThePageOnce(t *testing.T) {
	s, _ := newServer(t, testPage)
	page, err := s.Open(localapi.PageRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first := do(t, browser(t), request(t, http.MethodGet, page.URL, ""))
	if first.status != http.StatusOK || first.header.Get("Set-Cookie") == "" {
		t.Fatalf("first: %d, %v", first.status, first.header)
	}
	second := do(t, browser(t), request(t, http.MethodGet, page.URL, ""))
	if second.status != http.StatusForbidden || second.header.Get("Set-Cookie") != "" || !strings.Contains(second.body, "fairlead open") {
		t.Errorf("second: %d, %s", second.status, second.body)
	}
}

func TestTheCookieIsForThisBrowserAndPathAlone(t *testing.T) {
	s, _ := newServer(t, testPage)
	page, err := s.Open(localapi.PageRequest{})
	if err != nil {
		t.Fatal(err)
	}
	got := do(t, browser(t), request(t, http.MethodGet, page.URL, ""))
	cookie, err := http.ParseSetCookie(got.header.Get("Set-Cookie"))
	if err != nil {
		t.Fatal(err)
	}
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Domain != "" || !strings.HasPrefix(cookie.Path, "/visit/") || len(cookie.Path) < 30 {
		t.Errorf("the cookie is %s", cookie)
	}
}

func TestThePageAndItsFiles(t *testing.T) {
	s, _ := newServer(t, testPage)
	client := browser(t)
	page := enter(t, s, client, localapi.PageRequest{})
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"":                 {200, "the page"},
		"index.html":       {200, "the page"},
		"assets/app.js":    {200, "let page"},
		"assets/":          {404, "not a way in"},
		"assets":           {404, "not a way in"},
		"nothing.js":       {404, "not a way in"},
		"%2e%2e/doors.go":  {404, "not a way in"},
		"..%2f..%2fgo.mod": {404, "not a way in"},
		"v1/status":        {200, `"state":"disconnected"`},
		"v1/nothing":       {404, `"error"`},
	} {
		got := do(t, client, request(t, http.MethodGet, page+path, ""))
		if got.status != want.status || !strings.Contains(got.body, want.body) {
			t.Errorf("%q: %d %s", path, got.status, got.body)
		}
		policy := got.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%q: header %v", path, got.header)
		}
	}
}

func TestStrangersStayOut(t *testing.T) {
	s, _ := newServer(t, testPage)
	client := browser(t)
	page := enter(t, s, client, localapi.PageRequest{})
	other := enter(t, s, browser(t), localapi.PageRequest{})
	root := page[:strings.Index(page, "/visit/")]
	for name, test := range map[string]struct {
		method, url  string
		change       func(*http.Request)
		strange      bool // a browser without the cookie
		want         int
		wantNotInTxt string
	}{
		"no cookie, page":          {method: "GET", url: page, strange: true, want: 403},
		"no cookie, API":           {method: "GET", url: page + "v1/status", strange: true, want: 401},
		"the cookie of another":    {method: "GET", url: other + "v1/status", want: 401},
		"API at the root":          {method: "GET", url: root + "/v1/status", want: 404},
		"no token":                 {method: "GET", url: root + "/open", want: 403},
		"a wrong token":            {method: "GET", url: root + "/open?token=guess", want: 403},
		"a rebound name":           {method: "GET", url: page + "v1/status", change: func(r *http.Request) { r.Host = "evil.example:80" }, want: 403},
		"localhost":                {method: "GET", url: page + "v1/status", change: func(r *http.Request) { r.Host = "localhost" }, want: 403},
		"another site reads":       {method: "GET", url: page + "v1/status", change: origin("https://evil.example"), want: 403},
		"another port reads":       {method: "GET", url: page + "v1/status", change: origin("http://127.0.0.1:1"), want: 403},
		"a sandboxed site":         {method: "GET", url: page + "v1/status", change: origin("null"), want: 403},
		"another site writes":      {method: "POST", url: page + "v1/disconnect", change: origin("https://evil.example"), want: 403},
		"nobody writes":            {method: "POST", url: page + "v1/disconnect", want: 403},
		"two origins":              {method: "POST", url: page + "v1/disconnect", change: origin(root, "https://evil.example"), want: 403},
		"a form instead of JSON":   {method: "POST", url: page + "v1/contexts", change: origin(root), want: 400},
		"a write to the page":      {method: "POST", url: page, change: origin(root), want: 405},
		"a delete of the page":     {method: "DELETE", url: page + "index.html", change: origin(root), want: 405},
		"a write with the token":   {method: "POST", url: root + "/open?token=guess", change: origin(root), want: 404},
		"a preflight of elsewhere": {method: "OPTIONS", url: page + "v1/status", change: origin("https://evil.example"), want: 403},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, test.method, test.url, "")
			if test.change != nil {
				test.change(r)
			}
			who := client
			if test.strange {
				who = browser(t)
			}
			got := do(t, who, r)
			if got.status != test.want || strings.Contains(got.body, `"state"`) {
				t.Errorf("%d %s, want %d", got.status, got.body, test.want)
			}
			if allow := got.header.Get("Access-Control-Allow-Origin"); allow != "" {
				t.Errorf("it lets %s read the answer", allow)
			}
		})
	}
}

func origin(origins ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header["Origin"] = origins }
}

func TestThePageAsksAsTheShellWould(t *testing.T) {
	s, backend := newServer(t, testPage)
	client := browser(t)
	page := enter(t, s, client, localapi.PageRequest{Environment: []string{"KUBECONFIG=/a"}, WorkingDirectory: "/work"})
	r := request(t, http.MethodPost, page+"v1/contexts", "{}")
	r.Header.Set("Origin", page[:strings.Index(page, "/visit/")])
	r.Header.Set("Content-Type", "application/json")
	if got := do(t, client, r); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if asked := <-backend.asked; asked.WorkingDirectory != "/work" || len(asked.Environment) != 1 {
		t.Errorf("asked for %+v", asked)
	}
}

func TestAProgramWithoutThePageSaysSo(t *testing.T) {
	s, _ := newServer(t, fstest.MapFS{".gitkeep": {}})
	client := browser(t)
	got := do(t, client, request(t, http.MethodGet, enter(t, s, client, localapi.PageRequest{}), ""))
	if got.status != http.StatusOK || !strings.Contains(got.body, "make frontend") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestNothingIsServedAfterTheEnd(t *testing.T) {
	s, _ := newServer(t, testPage)
	page, err := s.Open(localapi.PageRequest{})
	if err != nil {
		t.Fatal(err)
	}
	s.Shutdown(t.Context())
	if _, err := s.Open(localapi.PageRequest{}); err == nil {
		t.Error("it opens again")
	}
	if response, err := browser(t).Get(page.URL); err == nil {
		response.Body.Close()
		t.Error("it still answers")
	}
}

func TestDoors(t *testing.T) {
	now := time.Unix(0, 0)
	d := newDoors(func() time.Time { return now })
	late := d.issue(localapi.PageRequest{})
	now = now.Add(tokenLife + 1)
	if _, ok := d.enter(late); ok {
		t.Error("a token opens after its time")
	}
	first := d.issue(localapi.PageRequest{})
	for range maxTokens {
		d.issue(localapi.PageRequest{})
	}
	if _, ok := d.enter(first); ok || len(d.tokens) != maxTokens {
		t.Errorf("%d tokens are kept", len(d.tokens))
	}
	var visits []visit
	for range maxVisits + 1 {
		v, ok := d.enter(d.issue(localapi.PageRequest{}))
		if !ok {
			t.Fatal("a fresh token does not open")
		}
		visits = append(visits, v)
	}
	if _, ok := d.visitor(visits[0].path, visits[0].cookie); ok {
		t.Error("the oldest visit is still known")
	}
	if _, ok := d.visitor(visits[1].path, visits[1].cookie); !ok {
		t.Error("a newer visit is forgotten")
	}
	if _, ok := d.visitor(visits[1].path, visits[2].cookie); ok {
		t.Error("a cookie opens another's path")
	}
}
