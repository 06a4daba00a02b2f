#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# On a Mac: builds the window into a bundle that build.sh has made, signs it, and makes a disk image of it.
#
#   finish.sh fairlead-VERSION-macos-ARCH-without-window.tar.gz
#
# It makes fairlead-VERSION-macos-ARCH.dmg beside the archive. It needs Xcode's command line tools (xcode-select --install), Go,
# and this checkout at the commit that the archive was made of, with the page built (make frontend).
#   SIGN_AS         a "Developer ID Application" identity of the keychain; without it the signature is ad hoc, good for this Mac alone
#   NOTARY_PROFILE  credentials that "xcrun notarytool store-credentials" has kept; without it Apple is not asked to notarize
set -euo pipefail
archive=${1:?usage: finish.sh fairlead-VERSION-macos-ARCH-without-window.tar.gz}
folder=$(cd "$(dirname "$archive")" && pwd)
archive=$folder/$(basename "$archive")
cd "$(dirname "$0")/../../.."

name=$(basename "$archive" -without-window.tar.gz)
[ "$name" != "$(basename "$archive")" ] || { echo "$archive is not one that build.sh has made for finishing." >&2; exit 2; }
version=${name#fairlead-} arch=${name##*-}
version=${version%-macos-*}
case $arch in
arm64) goarch=arm64 ;;
amd64) goarch=amd64 ;;
*) echo "There is no architecture $arch: arm64 and amd64 are what there is." >&2; exit 2 ;;
esac

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
tar -xzf "$archive" -C "$stage"
app=$stage/$name-without-window/Fairlead.app

# The oldest macOS is that of Info.plist.
oldest=-mmacosx-version-min=12.0
CGO_ENABLED=1 GOOS=darwin GOARCH=$goarch CGO_CFLAGS=$oldest CGO_LDFLAGS="$oldest -framework UniformTypeIdentifiers" \
	go build -trimpath -tags desktop,production -ldflags "-s -w -X main.version=$version" -o "$app/Contents/MacOS/fairlead-desktop" .

# From the inside out, and the bundle last: its signature covers what is in it.
identity=${SIGN_AS:--}
hardened=()
[ "$identity" = - ] || hardened=(--options runtime --timestamp)
for part in "$app/Contents/MacOS/fairlead" "$app/Contents/MacOS/fairlead-helper" "$app"; do
	codesign --force --sign "$identity" ${hardened[@]+"${hardened[@]}"} "$part"
done
codesign --verify --deep --strict "$app"

mkdir "$stage/image"
mv "$app" "$stage/image/"
ln -s /Applications "$stage/image/Applications"
rm -f "$folder/$name.dmg"
hdiutil create -quiet -volname "Fairlead $version" -srcfolder "$stage/image" -format UDZO "$folder/$name.dmg"
if [ "$identity" != - ]; then
	codesign --force --sign "$identity" --timestamp "$folder/$name.dmg"
fi
if [ -n "${NOTARY_PROFILE:-}" ]; then
	xcrun notarytool submit "$folder/$name.dmg" --keychain-profile "$NOTARY_PROFILE" --wait
	xcrun stapler staple "$folder/$name.dmg"
fi
echo "Made $folder/$name.dmg"
