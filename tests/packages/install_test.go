// SPDX-License-Identifier: Apache-2.0

package packages

import (
	"context"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/tests/cluster"
)

// system boots systemd on the laptop.
func system(t *testing.T) *cluster.System {
	t.Helper()
	s, err := testbed.Laptop(0).StartSystemd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := testbed.Laptop(0).StopSystemd(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestDebUnderSystemd is the life of the packages on a machine with systemd.
func TestDebUnderSystemd(t *testing.T) {
	s := system(t)
	fresh(t, s)
	before, network := files(t, s), snapshot(t)

	out := do(t, s, "root", "dpkg -i "+deb("fairlead")+" "+deb("fairlead-desktop"))
	if !strings.Contains(out, "in the group fairlead may connect") {
		t.Errorf("the installation does not say who may connect:\n%s", out)
	}
	runsAsTheUnitSays(t, s)
	integrated(t, s)

	// Who is not in the group is refused; who joins it is not.
	if out, status := try(t, s, cluster.Developer, "fairlead connect --namespace shop"); status != 11 {
		t.Errorf("somebody outside of the group connects: status %d\n%s", status, out)
	}
	do(t, s, "root", "usermod --append --groups fairlead dev")
	do(t, s, cluster.Developer, "fairlead gateway install")
	connect(t, s)

	upgraded(t, s)

	// Removed while connected: nothing runs, and the network is as before. Settings stay until they are purged.
	do(t, s, "root", "dpkg -r fairlead")
	says(t, s, "root", "ps -eo comm | grep -c fairlead; systemctl is-active fairlead-helper", "0\ninactive")
	says(t, s, "root", "cat /etc/fairlead/helper.json", `"other"`)
	if after := snapshot(t); after != network {
		t.Errorf("the network is not as before:\n%s", after)
	}
	do(t, s, "root", "dpkg -P fairlead")
	asBefore(t, s, before, network)
}

// runsAsTheUnitSays looks at the process that systemd has made of the unit.
func runsAsTheUnitSays(t *testing.T, s *cluster.System) {
	t.Helper()
	says(t, s, "root", "systemctl is-active fairlead-helper; systemctl is-enabled fairlead-helper", "active\nenabled")
	says(t, s, "root", "systemd-analyze verify fairlead-helper.service && echo accepted", "accepted")
	says(t, s, "root", "readlink /proc/$(systemctl show -P MainPID fairlead-helper)/exe; systemctl show -P NRestarts fairlead-helper", "/usr/sbin/fairlead-helper\n0")
	// CAP_CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, NET_BIND_SERVICE 10, NET_ADMIN 12, NET_RAW 13 (linux/capability.h); filter mode 2.
	says(t, s, "root", "cat /proc/$(systemctl show -P MainPID fairlead-helper)/status", "CapBnd:\t000000000000340b", "NoNewPrivs:\t1", "Seccomp:\t2")
	says(t, s, "root", "systemctl show -P Type fairlead-helper; systemctl restart fairlead-helper && test -S /run/fairlead/helper.sock && echo it listens", "notify\nit listens")
	says(t, s, "root", "nsenter --mount --target $(systemctl show -P MainPID fairlead-helper) sh -c 'touch /usr/x; ls /home/dev'", "Read-only file system")
	says(t, s, "root", "cat /etc/fairlead/helper.json; getent group fairlead; stat -c %a /run/fairlead /var/lib/fairlead", `"fairlead"`, "fairlead:x:", "755\n700")
}

// integrated looks at what other programs make of the package's files.
func integrated(t *testing.T, s *cluster.System) {
	t.Helper()
	says(t, s, cluster.Developer, "fairlead version; fairlead helper status", "Fairlead "+version, "The helper runs.")
	says(t, s, cluster.Developer, "man --where fairlead-connect fairlead-desktop; man --where 8 fairlead-helper", "fairlead-connect.1.gz", "fairlead-desktop.1.gz", "fairlead-helper.8.gz")
	says(t, s, cluster.Developer, "source /usr/share/bash-completion/completions/fairlead && complete -p fairlead", "__start_fairlead")
	says(t, s, cluster.Developer, "xdg-mime query default x-scheme-handler/fairlead", "fairlead.desktop")
	// The helper's own commands leave the package alone.
	says(t, s, "root", "fairlead-helper uninstall", "belongs to the package fairlead")
	says(t, s, "root", "fairlead-helper install --user dev --group fairlead && sed -i /1000/d /etc/fairlead/helper.json", "the helper "+version+" answers")
	do(t, s, "root", `fairlead-helper allow --user other && printf '{"users":["other"],"groups":["fairlead"]}' >/etc/fairlead/helper.json`)
}

// upgraded installs a newer package while somebody is connected: the connection is resumed, and who was allowed stays.
func upgraded(t *testing.T, s *cluster.System) {
	t.Helper()
	do(t, s, "root", "dpkg -P fairlead-desktop")
	do(t, s, "root", "cd /tmp && dpkg-deb -R "+deb("fairlead")+" newer && sed -i 's/^Version:.*/Version: 0.1.1-1/' newer/DEBIAN/control && dpkg-deb -Znone -b newer newer.deb")
	out := do(t, s, "root", "systemctl show -P MainPID fairlead-helper; dpkg -i /tmp/newer.deb; systemctl show -P MainPID fairlead-helper; rm -r /tmp/newer /tmp/newer.deb")
	lines := strings.Fields(out)
	if lines[0] == lines[len(lines)-1] {
		t.Errorf("the upgrade did not restart the helper:\n%s", out)
	}
	says(t, s, "root", "systemctl is-active fairlead-helper; cat /etc/fairlead/helper.json", "active", `"other"`, `"fairlead"`)
	eventually(t, s, cluster.Developer, "curl -sS -m 5 http://catalog.shop/ | grep -q anchor")
}

// TestRPMUnderSystemd installs the rpm, as far as a Debian system is one of rpm.
func TestRPMUnderSystemd(t *testing.T) {
	s := system(t)
	fresh(t, s)
	before, network := files(t, s), snapshot(t)
	const manage = "rpm --dbpath /var/lib/rpm --nodeps "
	out := do(t, s, "root", "SUDO_UID=1000 "+manage+"-i "+rpm("fairlead"))
	if !strings.Contains(out, "dev may connect now") {
		t.Errorf("the installation does not say who may connect:\n%s", out)
	}
	runsAsTheUnitSays(t, s)
	do(t, s, cluster.Developer, "fairlead gateway status || fairlead gateway install")
	connect(t, s)
	do(t, s, "root", manage+"-U --force "+rpm("fairlead"))
	eventually(t, s, cluster.Developer, "curl -sS -m 5 http://catalog.shop/ | grep -q anchor")
	do(t, s, "root", manage+"-e fairlead")
	asBefore(t, s, before, network)
}

// TestDebUnderSysV installs where there is no systemd, once for who calls sudo, and once over a helper that was
// installed without a package.
func TestDebUnderSysV(t *testing.T) {
	l := testbed.Laptop(0)
	fresh(t, l)
	before, network := files(t, l), snapshot(t)

	out := do(t, l, "root", "SUDO_UID=1000 dpkg -i "+deb("fairlead"))
	if !strings.Contains(out, "dev may connect now") {
		t.Errorf("the installation does not say who may connect:\n%s", out)
	}
	says(t, l, "root", "service fairlead-helper status; pidof fairlead-helper | xargs -I PID readlink /proc/PID/exe", "Running\n/usr/sbin/fairlead-helper")
	do(t, l, cluster.Developer, "fairlead gateway status || fairlead gateway install")
	connect(t, l)
	do(t, l, "root", "dpkg -P fairlead")
	asBefore(t, l, before, network)

	own := l.Environment("root")[0] // PATH, with the programs of this checkout first
	do(t, l, "root", own+" fairlead helper install --user other")
	do(t, l, "root", "dpkg -i "+deb("fairlead"))
	says(t, l, "root", "pidof fairlead-helper | xargs -I PID readlink /proc/PID/exe; cat /etc/fairlead/helper.json; ls /usr/local/libexec", "/usr/sbin/fairlead-helper", `"other"`)
	says(t, l, "root", own+" fairlead helper install --user other", "the package fairlead has installed the helper already")
	do(t, l, "root", "dpkg -P fairlead")
	asBefore(t, l, before, network)
}
