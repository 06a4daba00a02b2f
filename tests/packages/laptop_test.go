// SPDX-License-Identifier: Apache-2.0

package packages

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-dev/fairlead/tests/cluster"
)

// systemPath is where an installed program is found.
const systemPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// sysvRunlevel is what SysV init tells (runlevel(8)); without systemd, services start in no other.
const sysvRunlevel = "RUNLEVEL=2"

// laptop is where packages are installed.
type laptop interface {
	Command(ctx context.Context, user string, args ...string) *exec.Cmd
}

// try runs a script of a user, and returns what it said and its exit status.
func try(t *testing.T, on laptop, user, script string) (string, int) {
	t.Helper()
	command := on.Command(t.Context(), user, "bash", "-c", script)
	command.Env = append(command.Env, systemPath, "DEBIAN_FRONTEND=noninteractive", sysvRunlevel)
	out, err := command.CombinedOutput()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), failed.ExitCode()
	}
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return string(out), 0
}

// do is try for what must succeed.
func do(t *testing.T, on laptop, user, script string) string {
	t.Helper()
	out, status := try(t, on, user, script)
	if status != 0 {
		t.Fatalf("%s ended with %d:\n%s", script, status, out)
	}
	return out
}

// says checks a script's output.
func says(t *testing.T, on laptop, user, script string, wanted ...string) {
	t.Helper()
	out, _ := try(t, on, user, script)
	for _, want := range wanted {
		if !strings.Contains(out, want) {
			t.Errorf("%s: no %q in:\n%s", script, want, out)
		}
	}
}

// eventually waits until a script succeeds.
func eventually(t *testing.T, on laptop, user, script string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		out, status := try(t, on, user, script)
		if status == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: still %d after 30 s:\n%s", script, status, out)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// connect joins the cluster as the laptop's user, and looks for a name of it.
func connect(t *testing.T, on laptop) {
	t.Helper()
	do(t, on, cluster.Developer, "fairlead connect --namespace shop")
	eventually(t, on, cluster.Developer, "curl -sS -m 5 http://catalog.shop/ | grep -q anchor")
}

// filesScript lists all that a package could leave: files of the system with their owners, modes and, where people
// change them, sizes. What the package manager itself keeps, and caches of others, do not count.
const filesScript = `
find /etc /usr /var /run -xdev \( -path /usr/include -o -path /usr/lib/google-cloud-sdk -o -path /usr/local/go -o -path /usr/local/lib -o -path /var/lib/dpkg -o -path /var/log/journal -o -path /var/cache -o -path /var/lib/rpm -o -path /run/systemd -o -path /run/user -o -path /run/log -o -path /var/lib/systemd/catalog \) -prune \
	-o -printf '%p %y %m %u:%g\n' | grep -vE '^/etc/[a-z.]*- |/(icon-theme|mimeinfo)\.cache |^/var/log/(dpkg|alternatives)\.log |^/var/log/apt|/\.pwd\.lock |^/run/(utmp|lock)|^/usr/share/(mime|applications|icons/hicolor|metainfo|man|man/man[18]|licenses|zsh/site-functions) |^/var/lib/(systemd|rpm|dpkg)( |/timers)'
cat /etc/group /etc/passwd
LC_ALL=C ps -eo user,comm | grep -i fairlead || true
`

func files(t *testing.T, on laptop) []string {
	t.Helper()
	list := strings.Split(do(t, on, "root", filesScript), "\n")
	slices.Sort(list)
	return list
}

// asBefore checks that nothing is left on the laptop, neither of files, groups and processes nor of its network.
func asBefore(t *testing.T, on laptop, before []string, network string) {
	t.Helper()
	if diff := cmp.Diff(before, files(t, on)); diff != "" {
		t.Errorf("left behind (+) or gone (-):\n%s", diff)
	}
	if after := snapshot(t); after != network {
		t.Errorf("the network is not as before:\n%s", cmp.Diff(strings.Split(network, "\n"), strings.Split(after, "\n")))
	}
}

func snapshot(t *testing.T) string {
	t.Helper()
	text, err := testbed.Snapshot(0)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// fresh is a laptop without a group fairlead, whose package scripts may start services and do not index manuals.
func fresh(t *testing.T, on laptop) {
	t.Helper()
	do(t, on, "root", "rm -f /usr/sbin/policy-rc.d /var/lib/man-db/auto-update; ! getent group fairlead >/dev/null || groupdel fairlead")
}
