#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make demo, make demo-ui, make demo-down: a real cluster on this machine with a shop in it and a laptop that joins it; or,
# with KUBECONFIG given on make's command line, this machine joins the cluster of that file. Both end in the page.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.cluster/toolchain/bin:$PATH"
name=demo
kubeconfig=${DEMO_KUBECONFIG:-}
as_root=sudo
[ "$(id -u)" != 0 ] || as_root=

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# Shows a command as a person would type it, then runs it.
show() {
	printf '\033[36m$ %s\033[0m\n' "$*"
	"$run" "$*"
}

# What was begun is said to who interrupts it: a cluster that was not up yet is gone by then, one that was stays.
interrupted() {
	trap - INT
	printf "\nInterrupted. 'make demo' begins again; 'make demo-down' takes down what is there.\n" >&2
	exit 130
}

# The demo's cluster, if it is up.
is_up() { [ -x .cluster/bin/cluster ] && .cluster/bin/cluster --name "$name" status >/dev/null 2>&1; }

on_laptop() { make --no-print-directory laptop NAME="$name" CMD="$1"; }
on_this_machine() { PATH="$PWD/bin:$PATH" KUBECONFIG="$kubeconfig" bash -c "$1"; }

# Opens an address in the browser of whoever sits here, if there is a display. Root alone has no browser to speak of.
browse() {
	[ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && command -v xdg-open >/dev/null || return 1
	if [ "$(id -u)" = 0 ]; then
		[ -n "${SUDO_USER:-}" ] || return 1
		setsid sudo -u "$SUDO_USER" --preserve-env="$session" xdg-open "$1" >/dev/null 2>&1 &
	else
		setsid xdg-open "$1" >/dev/null 2>&1 &
	fi
}
# What a browser needs of its session.
session=DISPLAY,WAYLAND_DISPLAY,XAUTHORITY,XDG_RUNTIME_DIR,DBUS_SESSION_BUS_ADDRESS

# The page is on the laptop's loopback; this machine's gets the same port, so that the address is the same.
own_cluster_page() {
	local address port
	if ! is_up; then
		echo "The demo is not up. Bring it up with: make demo" >&2
		return 1
	fi
	address=$(on_laptop "fairlead open --print $1")
	port=$(sed -n 's|^http://127\.0\.0\.1:\([0-9]*\)/.*|\1|p' <<<"$address")
	[ -n "$port" ] || { echo "There is no address of the page in: $address" >&2; return 1; }
	.cluster/bin/cluster --name "$name" relay --port "$port" --background
	if browse "$address"; then
		echo "The page opens in your browser. If it does not, open this (once, within a minute; make demo-ui makes a new one):"
	else
		echo "Open this in a browser on this machine (once, within a minute; make demo-ui makes a new one):"
	fi
	printf '\n  \033[1m%s\033[0m\n' "$address"
}

# The dialog of an intercept of the catalog, filled in.
catalog_link="'fairlead://intercept?namespace=shop&workload=catalog&port=http'"

# That link, unless the laptop intercepts something already: then the page opens at its start.
unless_intercepted() { on_laptop 'fairlead intercepts --mine --output json' 2>/dev/null | grep -q '"name"' || echo "$catalog_link"; }

# The cluster of this repository: everything is in network namespaces, and this machine's own network stays as it is.
own_cluster_up() {
	run=on_laptop
	say "1. A Kubernetes cluster on this machine, with a small shop in namespace shop"
	make --no-print-directory cluster-up NAME="$name"
	say "2. Fairlead: the helper on the laptop, once, as root; the gateway in the cluster, once"
	make --no-print-directory laptop NAME="$name" AS=root CMD='fairlead helper install --group fairlead'
	show fairlead gateway install
	# A second run begins like the first.
	on_laptop 'fairlead disconnect' >/dev/null
	say "3. Before: names of the cluster mean nothing to the laptop"
	show "curl -sS -m 3 http://catalog.shop/ || true"
	say "4. Connect"
	show fairlead connect --namespace shop
	say "5. After"
	show curl -sS http://catalog.shop/
	show curl -sS http://catalog/
	show ping -c 2 inventory-0.inventory
	show fairlead list
	say "6. Intercept: requests with one header go to a program on the laptop; everybody else's go to the pod"
	# The catalog as a developer would run it. It ends with the laptop.
	on_laptop 'POD_NAME=this-laptop setsid shop catalog </dev/null >/dev/null 2>&1 &'
	show fairlead intercept catalog --key demo --port 8080:http
	show curl -sS http://front.shop/
	show "curl -sS -H 'x-fairlead: demo' http://front.shop/"
	show fairlead leave catalog
	say "7. The same by clicks: the page is connected, and has the dialog of an intercept of the catalog open"
	own_cluster_page "$catalog_link"
	cat <<TEXT

In the dialog, press Intercept: the program 'shop' on port 8080 of the laptop is chosen. The page then shows a curl; the
laptop is where it works:

  make laptop NAME=$name CMD="curl -sS -H 'x-fairlead: …' http://catalog.shop/"
TEXT
	cat <<TEXT

Try next:
  make demo-ui                              a new address of the page
  make laptop NAME=$name                      a shell on the laptop; fairlead, kubectl and shop are on its PATH
  make laptop NAME=$name CMD='fairlead status'
  make laptop NAME=$name CMD='fairlead intercepts'
  make laptop NAME=$name CMD='fairlead disconnect'
  make demo-down                            takes everything down
TEXT
}

own_cluster_down() {
	if [ ! -d ".cluster/$name" ]; then
		echo "The demo is not up."
		return
	fi
	make --no-print-directory cluster-down NAME="$name"
	echo "The demo is gone: its cluster, its laptop, and their networks."
}

# Somebody's own cluster: this machine is the laptop. The gateway's image must come from somewhere the cluster reaches:
# IMAGE=repository:tag names it where the usual one can't be pulled; a kind cluster is given the one built here.
given_cluster_up() {
	run=on_this_machine
	local context image=()
	[ -r "$kubeconfig" ] || { echo "There is no readable kubeconfig at $kubeconfig." >&2; exit 1; }
	context=$(sed -n 's/^current-context: *"\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$kubeconfig")
	say "1. Your cluster: $context"
	case $context in
	kind-*)
		echo "Loading the gateway's image into kind"
		go run ./tests/cluster/cmd/cluster image -o .cluster/fairlead-agent.tar
		kind load image-archive .cluster/fairlead-agent.tar --name "${context#kind-}"
		;;
	*) [ -z "${IMAGE:-}" ] || image=(--image "$IMAGE") ;;
	esac
	say "2. Fairlead: the helper on this machine (asks for your password once), the gateway in the cluster"
	# sudo says who is let in; root alone has to.
	local who=()
	[ -n "$as_root" ] || who=(--user "${SUDO_USER:-root}")
	bin/fairlead helper status >/dev/null 2>&1 || show $as_root "$PWD/bin/fairlead" helper install "${who[@]}"
	show fairlead gateway install "${image[@]}"
	say "3. Connect"
	show fairlead connect
	show fairlead status
	show fairlead list -A
	say "4. The page"
	show fairlead open
	cat <<TEXT

Any service of the cluster answers by name now: curl http://SERVICE.NAMESPACE/
  bin/fairlead disconnect
  make demo-down KUBECONFIG=$kubeconfig    disconnects and uninstalls the gateway and the helper
TEXT
}

given_cluster_down() {
	run=on_this_machine
	# What is not there any more must not keep the rest: 30 is a gateway that is not installed.
	local failed=0
	show fairlead disconnect || failed=1
	show fairlead gateway uninstall || [ $? = 30 ] || failed=1
	show $as_root "$PWD/bin/fairlead" helper uninstall || failed=1
	show fairlead quit || failed=1
	return $failed
}

# Network namespaces and containers are root's; joining a cluster of one's own is not.
if [ -z "$kubeconfig" ] && [ "$(id -u)" != 0 ]; then
	echo "The demo's cluster is made of network namespaces and containers, which takes root:"
	exec sudo --preserve-env="DEMO_KUBECONFIG,$session" env "PATH=$PATH" "$PWD/build/demo.sh" "$@"
fi

trap interrupted INT
case ${1:-up} in
up)
	build/install-deps.sh
	make --no-print-directory build
	if [ -n "$kubeconfig" ]; then given_cluster_up; else own_cluster_up; fi
	;;
ui)
	if [ -n "$kubeconfig" ]; then run=on_this_machine && show fairlead open; else own_cluster_page "$(unless_intercepted)"; fi
	;;
down)
	if [ -n "$kubeconfig" ]; then given_cluster_down; else own_cluster_down; fi
	;;
*)
	echo "usage: build/demo.sh up|ui|down" >&2
	exit 2
	;;
esac
