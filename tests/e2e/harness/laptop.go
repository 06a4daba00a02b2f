// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/backend/session"
)

// User is the ordinary user of a laptop.
const User = "dev"

// commandLimit is how long a command on a laptop may take before it counts as hanging.
const commandLimit = 90 * time.Second

// Laptop is one laptop host with the helper on it.
type Laptop struct {
	env   *Environment
	index int
}

func newLaptop(env *Environment, index int) *Laptop { return &Laptop{env: env, index: index} }

// Result is what a command on a laptop came to.
type Result struct {
	Args           []string
	Stdout, Stderr string
	Status         int // exit status; -1 if it was killed or could not be started
	Took           time.Duration
}

// String shows everything, for the message of a failed test.
func (r Result) String() string {
	return fmt.Sprintf("%s: exit status %d after %v\nstdout: %s\nstderr: %s", strings.Join(r.Args, " "), r.Status, r.Took.Round(time.Millisecond), r.Stdout, r.Stderr)
}

// Command makes a command that runs on the laptop as a user, with no output attached.
func (l *Laptop) Command(ctx context.Context, user string, args ...string) *exec.Cmd {
	return l.env.Cluster.Laptop(l.index).Command(ctx, user, args...)
}

// Exec runs a command as a user of the laptop to its end, at most for commandLimit, and returns what it came to.
func (l *Laptop) Exec(ctx context.Context, user string, args ...string) Result {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := l.Command(ctx, user, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A daemon that a command leaves behind must not keep the command's end from being noticed.
	cmd.WaitDelay = time.Second
	started := time.Now()
	err := cmd.Run()
	r := Result{Args: args, Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(started)}
	var exit *exec.ExitError
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
	case errors.As(err, &exit):
		r.Status = exit.ExitCode()
	default:
		r.Status, r.Stderr = -1, r.Stderr+err.Error()
	}
	return r
}

// Try runs a command as the laptop's user and returns what it came to, whatever that is.
func (l *Laptop) Try(t testing.TB, args ...string) Result {
	t.Helper()
	return l.TryAs(t, User, args...)
}

// TryAs is Try as another user of the laptop. It works in clean-ups too, when the test's own context is done.
func (l *Laptop) TryAs(t testing.TB, user string, args ...string) Result {
	t.Helper()
	return l.Exec(context.WithoutCancel(t.Context()), user, args...)
}

// Run runs a command as the laptop's user, fails the test unless it succeeds, and returns its standard output.
func (l *Laptop) Run(t testing.TB, args ...string) string {
	t.Helper()
	r := l.Try(t, args...)
	if r.Status != 0 {
		t.Fatalf("%s", r)
	}
	return r.Stdout
}

// Connect connects with `fairlead connect` in namespace shop and disconnects when the test ends.
func (l *Laptop) Connect(t testing.TB, args ...string) Result {
	t.Helper()
	t.Cleanup(func() { l.Disconnect(t) })
	r := l.Try(t, append([]string{"fairlead", "connect", "--namespace", "shop"}, args...)...)
	if r.Status != 0 {
		t.Fatalf("%s\n%s", r, l.Logs())
	}
	return r
}

// Disconnect disconnects; without a session it does nothing.
func (l *Laptop) Disconnect(t testing.TB) {
	t.Helper()
	if r := l.Try(t, "fairlead", "disconnect"); r.Status != 0 {
		t.Errorf("%s\n%s", r, l.Logs())
	}
}

// Status returns what `fairlead status` says.
func (l *Laptop) Status(t testing.TB) session.Status {
	t.Helper()
	var status session.Status
	r := l.Try(t, "fairlead", "status", "--output", "json")
	if err := json.Unmarshal([]byte(r.Stdout), &status); err != nil {
		t.Fatalf("read the status: %v\n%s", err, r)
	}
	return status
}

// AwaitStatus waits until the status is as wanted and returns how long that took.
func (l *Laptop) AwaitStatus(t testing.TB, limit time.Duration, what string, wanted func(session.Status) bool) time.Duration {
	t.Helper()
	var last session.Status
	return Eventually(t, limit, what, func() error {
		if last = l.Status(t); !wanted(last) {
			return fmt.Errorf("status is %s by %q: %s", last.State, last.Carrier.Active, last.Step)
		}
		return nil
	})
}

// OnCarrier tells whether a status is connected by the carrier.
func OnCarrier(name string) func(session.Status) bool {
	return func(s session.Status) bool { return s.State == session.Connected && s.Carrier.Active == name }
}

// TrafficProgram is the path of the traffic program.
func (l *Laptop) TrafficProgram() string {
	return filepath.Join(l.env.root, ".cluster", "bin", "traffic")
}

// Logs returns the last lines of the daemon's and the helper's logs, for the message of a failed test.
func (l *Laptop) Logs() string {
	r := l.Exec(context.Background(), "root", "sh", "-c", "for f in /home/dev/.local/state/fairlead/daemon.log /var/log/fairlead-helper.log; do echo \"--- $f\"; tail -n 12 $f; done")
	return r.Stdout
}
