// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// HelperSocket is where the helper listens.
const HelperSocket = "/run/fairlead/helper.sock"

// StartHelper starts the helper as a service manager would: as root, in the background, with a log, serving the group
// that the laptop's user is in. It returns when the helper answers.
func (l *Laptop) StartHelper(ctx context.Context) error {
	script := `mkdir -p /etc/fairlead && echo '{"users":[],"groups":["fairlead"]}' >/etc/fairlead/helper.json
setsid fairlead-helper >>/var/log/fairlead-helper.log 2>&1 </dev/null & echo $! >/run/fairlead-helper.pid`
	if l.HelperRunning(ctx) {
		return nil
	}
	// A socket that a killed helper left would look like an answer.
	if r := l.Exec(ctx, "root", "sh", "-c", "rm -f "+HelperSocket+"; "+script); r.Status != 0 {
		return errors.New(r.String())
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if l.HelperRunning(ctx) {
			return nil
		}
	}
	return fmt.Errorf("the helper does not answer\n%s", l.Logs())
}

// HelperRunning reports whether the helper's process is alive and its socket is there.
func (l *Laptop) HelperRunning(ctx context.Context) bool {
	return l.Exec(ctx, "root", "sh", "-c", "grep -q '^State:.[^ZX]' /proc/$(cat /run/fairlead-helper.pid)/status && test -S "+HelperSocket).Status == 0
}

// KillHelper kills the helper with SIGKILL and waits until it is gone.
func (l *Laptop) KillHelper(ctx context.Context) error {
	return l.kill(ctx, "$(cat /run/fairlead-helper.pid)")
}

// KillDaemon kills the user's daemon, if there is one, with SIGKILL and waits until it is gone.
func (l *Laptop) KillDaemon(ctx context.Context) error {
	return l.kill(ctx, "$(pgrep -u dev -f 'fairlead daemon')")
}

// kill sends SIGKILL to processes that a shell expression names, and waits for their end.
func (l *Laptop) kill(ctx context.Context, pids string) error {
	script := `pids="` + pids + `"; [ -z "$pids" ] || kill -9 $pids || exit 1; for p in $pids; do while [ -d /proc/$p ] && ! grep -q '^State:.Z' /proc/$p/status; do sleep 0.02; done; done`
	if r := l.Exec(ctx, "root", "sh", "-c", script); r.Status != 0 {
		return errors.New(r.String())
	}
	return nil
}

// DaemonMemory and HelperMemory return the resident memory of a process in bytes.
func (l *Laptop) DaemonMemory(ctx context.Context) (int64, error) {
	return l.memory(ctx, "$(pgrep -u dev -f 'fairlead daemon')")
}

// DaemonCPU returns the time that the user's daemon has spent on processors since its start.
func (l *Laptop) DaemonCPU(ctx context.Context) (time.Duration, error) {
	// Fields 14 and 15 are ticks in user and in kernel mode, 100 in a second (proc(5), USER_HZ).
	r := l.Exec(ctx, "root", "sh", "-c", "awk '{print $14+$15}' /proc/$(pgrep -u dev -f 'fairlead daemon')/stat")
	var ticks int64
	if _, err := fmt.Sscan(strings.TrimSpace(r.Stdout), &ticks); err != nil {
		return 0, fmt.Errorf("read processor time: %w: %s", err, r)
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// HelperMemory returns the resident memory of the helper in bytes.
func (l *Laptop) HelperMemory(ctx context.Context) (int64, error) {
	return l.memory(ctx, "$(cat /run/fairlead-helper.pid)")
}

func (l *Laptop) memory(ctx context.Context, pid string) (int64, error) {
	r := l.Exec(ctx, "root", "sh", "-c", "awk '/^VmRSS/{print $2}' /proc/"+pid+"/status")
	var kib int64
	if _, err := fmt.Sscan(strings.TrimSpace(r.Stdout), &kib); err != nil {
		return 0, fmt.Errorf("read resident memory: %w: %s", err, r)
	}
	return kib << 10, nil
}
