#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes all other formats of fairlead.svg; what it makes is committed, so that building needs no drawing program.
# Debian packages: librsvg2-bin, icoutils, icnsutils.
set -euo pipefail
cd "$(dirname "$0")"
for size in 16 22 24 32 48 64 128 256 512; do
	rsvg-convert --width "$size" --height "$size" --output "fairlead-$size.png" fairlead.svg
done
icotool --create --output fairlead.ico fairlead-{16,24,32,48,64}.png --raw=fairlead-256.png
png2icns fairlead.icns fairlead-{16,32,48,128,256,512}.png >/dev/null
cp fairlead.svg ../../frontend/public/icon.svg
