// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// idle are operations of a session that never does anything. Methods that are not there are not called.
type idle struct {
	localapi.Operations
	state  session.State
	closed atomic.Int32
	gone   chan struct{}
}

func newIdle() *idle { return &idle{state: session.Disconnected, gone: make(chan struct{})} }

func (i *idle) Status() localapi.Status { return localapi.Status{State: i.state} }

func (i *idle) Watch(ctx context.Context) <-chan localapi.Status {
	out := make(chan localapi.Status, 1)
	out <- i.Status()
	go func() {
		defer close(out)
		select {
		case <-ctx.Done():
		case <-i.gone:
		}
	}()
	return out
}

func (i *idle) Close() {
	if i.closed.Add(1) == 1 {
		close(i.gone)
	}
}

// runDaemon runs a daemon until the test ends, and returns once it serves.
func runDaemon(t *testing.T, ctx context.Context, c Config, operations *idle) (socket string, ended <-chan error) {
	t.Helper()
	if c.Socket == "" {
		c.Socket = testSocket(t)
	}
	c.Version, c.Log = "1.2.3", slog.New(slog.DiscardHandler)
	c.Operations = func() (Operations, error) { return operations, nil }
	ready := make(chan struct{})
	c.Ready = func() { close(ready) }
	ctx, cancel := context.WithCancel(ctx)
	result := make(chan error, 1)
	finished := make(chan struct{})
	go func() { defer close(finished); result <- Run(ctx, c) }()
	t.Cleanup(func() { cancel(); <-finished })
	select {
	case <-ready:
	case err := <-result:
		t.Fatal("ended at once:", err)
	}
	return c.Socket, result
}

func TestQuitAnswersAfterEverythingIsPutBack(t *testing.T) {
	operations := newIdle()
	socket, ended := runDaemon(t, t.Context(), Config{}, operations)
	client := localapi.NewClient(socket)
	watched := make(chan error, 1)
	watching := make(chan struct{})
	go func() {
		watched <- client.Watch(t.Context(), func(localapi.Status) error { close(watching); return nil })
	}()
	<-watching
	if err := client.Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if operations.closed.Load() != 1 {
		t.Error("it answered before it had disconnected")
	}
	if err := <-watched; err != nil {
		t.Error("watch:", err)
	}
	if err := <-ended; err != nil {
		t.Error("run:", err)
	}
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket is left")
	}
}

func TestASignalEndsTheDaemon(t *testing.T) {
	operations := newIdle()
	ctx, cancel := context.WithCancel(t.Context())
	_, ended := runDaemon(t, ctx, Config{}, operations)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if operations.closed.Load() != 1 {
		t.Error("it did not disconnect")
	}
}

func TestASecondDaemonLeavesTheFirstAlone(t *testing.T) {
	socket, _ := runDaemon(t, t.Context(), Config{}, newIdle())
	err := Run(t.Context(), Config{Socket: socket, Operations: func() (Operations, error) {
		t.Error("the second daemon made its operations")
		return newIdle(), nil
	}})
	if !errors.Is(err, ErrRunning) {
		t.Fatalf("got %v", err)
	}
	if _, err := localapi.NewClient(socket).Version(t.Context()); err != nil {
		t.Error("the first daemon:", err)
	}
}

func TestANewDaemonWaitsForTheOldOneToEnd(t *testing.T) {
	socket, ended := runDaemon(t, t.Context(), Config{}, newIdle())
	if err := localapi.NewClient(socket).Quit(t.Context()); err != nil {
		t.Fatal(err)
	}
	runDaemon(t, t.Context(), Config{Socket: socket}, newIdle()) // begins at once
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := localapi.NewClient(socket).Version(t.Context()); err != nil {
		t.Error("the new daemon:", err)
	}
}

func TestAnUnusedDaemonEnds(t *testing.T) {
	operations := newIdle()
	_, ended := runDaemon(t, t.Context(), Config{Idle: time.Millisecond}, operations)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestFailingToStartIsAnError(t *testing.T) {
	broken := errors.New("broken")
	err := Run(t.Context(), Config{Socket: testSocket(t), Operations: func() (Operations, error) { return nil, broken }})
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
}

func TestAnnouncement(t *testing.T) {
	for _, test := range []struct {
		name string
		told error
		want error
	}{
		{"ready", nil, nil},
		{"another one runs", ErrRunning, nil},
		{"a problem", problem.New(problem.Timeout, "wait", "slow"), problem.New(problem.Timeout, "", "")},
		{"any other error", io.ErrUnexpectedEOF, problem.New(problem.Internal, "", "")},
	} {
		t.Run(test.name, func(t *testing.T) {
			reader, writer := io.Pipe()
			go Announce(writer, test.told)
			if err := listen(reader); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	reader, writer := io.Pipe()
	writer.Close()
	if err := listen(reader); !errors.Is(err, problem.New(problem.Internal, "", "")) {
		t.Errorf("a daemon that ends silently: %v", err)
	}
}

func TestLogIsPutAsideWhenItHasGrown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs", "daemon.log")
	log, err := openRotating(path, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"12345\n", "678\n", "new\n", "a line that is longer than the limit\n", "last\n"} {
		if _, err := log.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{path: "last\n", path + ".1": "a line that is longer than the limit\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
}
