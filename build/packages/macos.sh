# SPDX-License-Identifier: Apache-2.0
# The bundle for macOS; build.sh says what is set. The window is linked with Apple's frameworks, which are on Macs alone: what is
# made here is without it, says so in its name, and macos/finish.sh completes it on a Mac.

macos_bundle() {
	local arch=$1 name=fairlead-$VERSION-macos-$1-without-window numbers=${VERSION%%-*}
	local contents=$stage/$name/Fairlead.app/Contents
	echo "── macOS, $arch"
	mkdir -p "$contents/MacOS" "$contents/Resources"
	program darwin "$arch" "$contents/MacOS" fairlead ./app/cli
	program darwin "$arch" "$contents/MacOS" fairlead-helper ./helper
	fill -e "s/@NUMBERS@/$numbers/g" "$here/macos/Info.plist" >"$contents/Info.plist"
	printf 'APPL????' >"$contents/PkgInfo"
	cp build/icons/fairlead.icns LICENSE helper/osservice/dev.fairlead.helper.plist "$contents/Resources/"
	GOOS=darwin GOARCH=$arch CGO_ENABLED=1 "$here/licenses.sh" -tags desktop,production ./app/cli ./helper . >"$contents/Resources/third-party-licenses.txt"
	fill "$here/macos/README.txt" >"$stage/$name/README.txt"
	find "$stage/$name" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
	chmod 755 "$contents"/MacOS/*
	tar -C "$stage" --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - "$name" | gzip -9n >"$dist/$name.tar.gz"
	echo "The window is left out, and the archive's name says so: build/packages/macos/finish.sh adds it on a Mac."
}
