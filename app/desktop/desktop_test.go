// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

func TestBootstrap(t *testing.T) {
	for _, test := range []struct {
		name     string
		page     string
		err      error
		has, not []string
	}{
		{
			"goes on to the daemon", "http://127.0.0.1:8080/open?token=ABC", nil,
			[]string{`http-equiv="refresh" content="0; url=http://127.0.0.1:8080/open?token=ABC"`}, []string{"Try again"},
		},
		{
			"says why it can't", "", problem.New(problem.Timeout, "Look at <the log>.", "the daemon is slow"),
			[]string{"the daemon is slow", "Look at &lt;the log&gt;.", `href="/"`}, []string{"refresh", "<the log>"},
		},
		{"any other error", "", errors.New("start the daemon: no memory"), []string{"start the daemon: no memory"}, []string{"refresh"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			open := func(context.Context) (string, error) { return test.page, test.err }
			Bootstrap(open).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
			for _, text := range test.has {
				if !strings.Contains(w.Body.String(), text) {
					t.Errorf("%q is missing in %s", text, w.Body)
				}
			}
			for _, text := range append(test.not, "<script") {
				if strings.Contains(w.Body.String(), text) {
					t.Errorf("%q is in %s", text, w.Body)
				}
			}
		})
	}
}

func TestFindProgram(t *testing.T) {
	name := "fairlead"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	beside, inPath := t.TempDir(), t.TempDir()
	own := filepath.Join(beside, "fairlead-desktop")
	t.Setenv("PATH", inPath)
	if found, err := FindProgram(own); !errors.Is(err, problem.New(problem.NotFound, "", "")) {
		t.Errorf("nowhere: %q, %v", found, err)
	}
	for _, folder := range []string{inPath, beside} { // the one beside comes first once it is there
		want := filepath.Join(folder, name)
		if err := os.WriteFile(want, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		if found, err := FindProgram(own); err != nil || found != want {
			t.Errorf("%q, %v; want %q", found, err, want)
		}
	}
}
