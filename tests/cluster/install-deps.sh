#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that test clusters need and that are missing. Nothing is started: where the packages
# start a service of their own (containerd on a machine with systemd), that stays away from the test clusters, which
# use their own sockets.
set -euo pipefail

packages=(containerd runc containernetworking-plugins iptables iproute2 conntrack socat dbus-daemon systemd procps util-linux curl iputils-ping)

missing=()
for package in "${packages[@]}"; do
	status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
	[[ $status == "install ok installed" ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
	exit 0
fi
if ((EUID != 0)); then
	echo "These Debian packages are missing: ${missing[*]}" >&2
	echo "Install them with: sudo apt-get install ${missing[*]}" >&2
	exit 1
fi
echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# A service must not start just because a test cluster needs its program; 101 says so to Debian's scripts.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
if ! apt-get install -y --no-install-recommends "${missing[@]}" >/dev/null; then
	apt-get update
	apt-get install -y --no-install-recommends "${missing[@]}" >/dev/null
fi
