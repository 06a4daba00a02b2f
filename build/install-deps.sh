#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what building and testing need on a Debian machine and is not there yet. Says what it installs; does nothing,
# and needs no network, when all is there. With the argument "desktop": what building the window needs; with "packages": what
# make packages needs.
set -euo pipefail
cd "$(dirname "$0")/.."

# The version of Go is go.mod's at least; a missing or older one is fetched as the module that Go itself would fetch.
GO_VERSION=1.26.8
GO_SHA256_amd64=30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7
GO_SHA256_arm64=02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing_packages() {
	local package
	for package in "$@"; do
		dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || echo "$package"
	done
}

install_packages() {
	local missing
	missing=$(missing_packages "$@")
	[ -n "$missing" ] || return 0
	echo "Installing Debian packages: ${missing//$'\n'/ }"
	as_root apt-get update -qq
	# A service that a package brings must not start here: the tests run their own, in namespaces of their own.
	# shellcheck disable=SC2086
	as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

go_is_recent() {
	command -v go >/dev/null || return 1
	local have want
	have=$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//')
	want=$(sed -n 's/^go //p' go.mod)
	[ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n1)" = "$want" ]
}

install_go() {
	local arch sum archive=.cluster/toolchain.zip
	arch=$(dpkg --print-architecture)
	sum="GO_SHA256_$arch"
	[ -n "${!sum:-}" ] || { echo "No Go toolchain is known for $arch: install Go $GO_VERSION or newer by hand." >&2; exit 1; }
	echo "Fetching Go $GO_VERSION into .cluster/toolchain"
	mkdir -p .cluster
	curl -fsSL -o "$archive" "https://proxy.golang.org/golang.org/toolchain/@v/v0.0.1-go$GO_VERSION.linux-$arch.zip"
	echo "${!sum}  $archive" | sha256sum -c --quiet -
	rm -rf .cluster/toolchain .cluster/unpacked
	unzip -q "$archive" -d .cluster/unpacked
	mv ".cluster/unpacked/golang.org/toolchain@v0.0.1-go$GO_VERSION.linux-$arch" .cluster/toolchain
	rm -rf "$archive" .cluster/unpacked
	find .cluster/toolchain/bin .cluster/toolchain/pkg/tool -type f -exec chmod +x {} +
}

if ! command -v apt-get >/dev/null; then
	echo "This script installs with apt-get, which this machine does not have. See docs/development.md for what is needed." >&2
	exit 1
fi
install_packages ca-certificates curl git make unzip gcc libc6-dev
go_is_recent || install_go
# Node.js of another source brings its own npm, and does not go together with Debian's.
command -v npm >/dev/null || install_packages nodejs npm
desktop=(libgtk-3-dev libwebkit2gtk-4.1-dev pkg-config)
case ${1:-} in
desktop)
	install_packages "${desktop[@]}"
	exit 0
	;;
packages)
	install_packages "${desktop[@]}" nsis
	exit 0
	;;
esac
# The packages are built, looked at and installed by tests.
install_packages "${desktop[@]}" nsis 7zip libplist-utils rpm cpio desktop-file-utils
command -v chromium >/dev/null || install_packages chromium
# The page is drawn with a font that is good to look at, and its pictures are made small.
install_packages fonts-noto-core pngquant optipng
# The session in which the window and the tray are used by tests, and what uses them.
install_packages xvfb openbox xfce4-panel xdotool xclip x11-utils imagemagick
as_root tests/cluster/install-deps.sh
