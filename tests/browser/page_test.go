// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"bufio"
	"cmp"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/app/daemon"
	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/frontend"
)

// scriptTimeout bounds the whole visit, with the start of a browser on a busy machine.
const scriptTimeout = 8 * time.Minute

func TestThePageInABrowser(t *testing.T) {
	socket, end := startDaemon(t)
	client := localapi.NewClient(socket)
	defer client.Close()
	page, err := client.Page(t.Context(), localapi.PageRequest{})
	if err != nil {
		t.Fatal(err)
	}

	runScript(t, "page.mjs", page.URL, func(line string) {
		if line == "end the daemon" {
			end()
		}
	})
}

// runScript runs a script of frontend/tests on a page, and calls each with its lines.
func runScript(t *testing.T, name, address string, each func(string)) {
	t.Helper()
	if _, err := fs.Stat(frontend.Files(), "index.html"); err != nil {
		t.Fatal("the page is not built: run 'make frontend' first")
	}
	ctx, cancel := context.WithTimeout(t.Context(), scriptTimeout)
	defer cancel()
	script := exec.CommandContext(ctx, "node", filepath.Join("..", "..", "frontend", "tests", name), chromium(t), address, screenshots(t))
	script.Stderr = os.Stderr
	out, err := script.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	last := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		last = lines.Text()
		t.Log(last)
		if each != nil {
			each(last)
		}
	}
	if err := script.Wait(); err != nil || last != "done" {
		t.Fatalf("the script ended with %v, after %q", err, last)
	}
}

// startDaemon runs a daemon, and returns its socket and what ends it.
func startDaemon(t *testing.T) (socket string, end func()) {
	t.Helper()
	folder, err := os.MkdirTemp("", "fl") // a socket's name can have 104 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	socket = filepath.Join(folder, "daemon.sock")
	ctx, cancel := context.WithCancel(t.Context())
	ready := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- daemon.Run(ctx, daemon.Config{
			Version: "1.2.3", Socket: socket, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Operations: func() (daemon.Operations, error) { return newBackend(), nil },
			Ready:      func() { close(ready) },
		})
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal("the daemon ended at once:", err)
	}
	var result error
	waited := false
	end = func() {
		cancel()
		if !waited {
			waited, result = true, <-ended
		}
		if result != nil {
			t.Error("the daemon ended with:", result)
		}
	}
	t.Cleanup(end)
	return socket, end
}

// chromium finds the browser.
func chromium(t *testing.T) string {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("none of these is installed: %s", strings.Join(names, ", "))
	return ""
}

// screenshots is the folder for pictures of the page: FAIRLEAD_SCREENSHOTS, or one beside the tests that Git ignores.
func screenshots(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs(cmp.Or(os.Getenv("FAIRLEAD_SCREENSHOTS"), "screenshots"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}
