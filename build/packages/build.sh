#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes packages of Fairlead in dist/: build.sh VERSION [TARGET...], where a target is one of
#   linux-amd64, linux-arm64   .deb and .rpm: command line and helper; on a machine of that architecture the window too
#   windows-amd64              an installer: command line, helper and window; WINTUN_ZIP names the tunnel's driver to put in
#   macos-arm64, macos-amd64   the bundle with command line and helper, which is finished on a Mac
# All of them without a target. DIST names another folder than dist. What is packed is made of this checkout alone; the
# same commit gives the same files.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
here=$root/build/packages
# shellcheck source=build/packages/targets.sh
. "$here/targets.sh"
# shellcheck source=build/packages/windows.sh
. "$here/windows.sh"
# shellcheck source=build/packages/macos.sh
. "$here/macos.sh"

VERSION=${1:?usage: build.sh VERSION [TARGET...]}
shift
targets=("$@")
[ $# -gt 0 ] || targets=(linux-amd64 linux-arm64 windows-amd64 macos-arm64 macos-amd64)
dist=$(realpath -m "${DIST:-dist}")
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export VERSION SOURCE_DATE_EPOCH
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$dist"

for target in "${targets[@]}"; do
	case $target in
	linux-amd64 | linux-arm64) linux_packages "${target#linux-}" ;;
	windows-amd64) windows_installer ;;
	macos-arm64 | macos-amd64) macos_bundle "${target#macos-}" ;;
	*) echo "There is no target $target: the beginning of $0 says which there are." >&2; exit 2 ;;
	esac
done
echo "Made in $dist:"
(cd "$dist" && ls -1sh --indicator-style=none | sed 1d)
