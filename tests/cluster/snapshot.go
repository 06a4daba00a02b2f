// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// snapshotScript prints everything that a program could have changed of a laptop's network: links, addresses, routes
// and rules of both families, firewall rules, and the resolver's files byte for byte.
const snapshotScript = `
section() { echo "== $*"; "$@" 2>&1 | sed -e 's/ expires [0-9]*sec//' -e 's/ *$//'; }
section ip -o link show
section ip -o address show
section ip -4 rule show
section ip -6 rule show
section ip -4 route show table all
section ip -6 route show table all
section ip -4 neigh show nud permanent
section ip tuntap list
for program in iptables-save ip6tables-save; do
	echo "== $program"
	$program 2>/dev/null | grep -v '^#'
done
for file in /etc/resolv.conf /etc/hosts /etc/nsswitch.conf /etc/systemd/resolved.conf \
	/run/systemd/resolve/resolv.conf /run/systemd/resolve/stub-resolv.conf; do
	[ -e "$file" ] || continue
	echo "== $file -> $(readlink -f "$file") $(stat -c '%a %u:%g' -L "$file")"
	cat "$file"
done
ls -A /etc/systemd/resolved.conf.d /etc/resolver /etc/NetworkManager/conf.d 2>/dev/null
if [ -S /run/dbus/system_bus_socket ]; then
	echo "== resolvectl"
	# systemd-resolved indents by the longest line, and has one more once it was asked: which server it used last.
	resolvectl --no-pager status 2>&1 | sed -e '/Current DNS Server/d' -e 's/^ *//' -e 's/ *$//'
fi
true
`

// snapshotLimit bounds how long a snapshot may take.
const snapshotLimit = 30 * time.Second

// Snapshot is a text of the laptop's links, addresses, routes, rules and resolver, to compare before and after.
func (l *Laptop) Snapshot() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), snapshotLimit)
	defer cancel()
	command := l.Command(ctx, "root", "bash", "-c", snapshotScript)
	var problems strings.Builder
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("take snapshot of %s: %w: %s", l.Name, err, strings.TrimSpace(problems.String()))
	}
	return string(output), nil
}

// Snapshot is the Snapshot of the laptop with an index (see Laptop).
func (c *Cluster) Snapshot(index int) (string, error) { return c.Laptop(index).Snapshot() }
