# SPDX-License-Identifier: Apache-2.0
# What build.sh does for each target. It sets root, here, dist, stage, VERSION and SOURCE_DATE_EPOCH.

# program GOOS GOARCH FOLDER NAME PACKAGE builds one static program.
program() {
	CGO_ENABLED=0 GOOS=$1 GOARCH=$2 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o "$3/$4" "$5"
}

# The program that runs here, for what it says of itself: manual and completions.
own_program() {
	[ -x "$stage/fairlead" ] || program "$(go env GOHOSTOS)" "$(go env GOHOSTARCH)" "$stage" fairlead ./app/cli
	echo "$stage/fairlead"
}

packager() {
	(cd "$here" && go build -trimpath -ldflags '-s -w' -o "$stage/$1" "$2")
	echo "$stage/$1"
}

# fill replaces the names in a text that are different in each version.
fill() { sed -e "s/@VERSION@/$VERSION/g" -e "s/@DATE@/$(date -u -d "@$SOURCE_DATE_EPOCH" +%F)/g" "$@"; }

# What is the same on all architectures.
linux_common() {
	local files=$1
	mkdir -p "$files"/{usr/lib/systemd/system,etc/init.d,usr/share/man/man8,usr/share/man/desktop,usr/share/metainfo,usr/share/applications,completions,doc,scripts/deb,scripts/rpm}
	# The service is the one that "fairlead helper install" makes; only the place of the program is another.
	local made='s|/usr/local/libexec/fairlead/fairlead-helper|/usr/sbin/fairlead-helper|; s|Written by "fairlead-helper install".*|Part of the package fairlead.|'
	sed "$made" helper/osservice/fairlead-helper.service >"$files/usr/lib/systemd/system/fairlead-helper.service"
	sed "$made" helper/osservice/fairlead-helper.init >"$files/etc/init.d/fairlead-helper"

	local fairlead shell
	fairlead=$(own_program)
	"$fairlead" manual --directory "$files/usr/share/man/man1"
	fill "$here/fairlead-helper.8" >"$files/usr/share/man/man8/fairlead-helper.8"
	fill "$here/fairlead-desktop.1" >"$files/usr/share/man/desktop/fairlead-desktop.1"
	find "$files/usr/share/man" -type f -exec gzip -9n {} +
	for shell in bash zsh fish; do "$fairlead" completion "$shell" >"$files/completions/fairlead.$shell"; done

	fill "$here/dev.fairlead.Fairlead.metainfo.xml" >"$files/usr/share/metainfo/dev.fairlead.Fairlead.metainfo.xml"
	cp "$here/fairlead.desktop" "$files/usr/share/applications/"
	cp -r build/icons "$here/lintian" LICENSE "$files/"
	cp README.md docs/*.md "$files/doc/"
	"$here/licenses.sh" -tags desktop,production,webkit2_41 ./app/cli ./helper . | gzip -9n >"$files/doc/third-party-licenses.txt.gz"
	cp "$here/copyright" "$files/"
	printf -- '- semver: %s\n  date: %s\n  packager: The Fairlead maintainers <maintainers@fairlead.dev>\n  deb: {urgency: medium, distributions: [stable]}\n  changes: [{note: "Fairlead %s, see https://github.com/fairlead-dev/fairlead/releases"}]\n' \
		"$VERSION" "$(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ)" "$VERSION" >"$files/changelog.yaml"

	local script
	for script in "$here"/deb/*.sh "$here"/rpm/*.sh; do
		local name=${script#"$here/"}
		{ printf '#!/bin/sh\nset -e\n'; cat "$here/functions.sh" "$script"; } >"$files/scripts/${name%.sh}"
	done
}

linux_packages() {
	local arch=$1 files=$stage/linux nfpm package format
	echo "── linux, $arch"
	nfpm=$(packager nfpm github.com/goreleaser/nfpm/v2/cmd/nfpm)
	[ -d "$files" ] || linux_common "$files"
	program linux "$arch" "$files/usr/bin" fairlead ./app/cli
	program linux "$arch" "$files/usr/sbin" fairlead-helper ./helper
	local packages=(fairlead) PACKAGE_VERSION=${VERSION/-/\~} # nfpm sorts 1.0.0~rc1 before 1.0.0 in this way
	export PACKAGE_VERSION
	# The window is linked with the system's libraries, which are here for this machine's architecture alone.
	if [ "$arch" = "$(go env GOHOSTARCH)" ] && pkg-config --exists webkit2gtk-4.1 gtk+-3.0 2>/dev/null; then
		CGO_ENABLED=1 go build -trimpath -buildmode=pie -tags desktop,production,webkit2_41 -ldflags "-s -w -X main.version=$VERSION" -o "$files/usr/bin/fairlead-desktop" .
		packages+=(fairlead-desktop)
	else
		echo "The window is left out: it is built on a $arch machine with libgtk-3-dev and libwebkit2gtk-4.1-dev (build/install-deps.sh desktop)."
	fi
	for package in "${packages[@]}"; do
		for format in deb rpm; do
			(cd "$files" && ARCH=$arch "$nfpm" package --config "$here/$package.yaml" --packager "$format" --target "$dist/" >"$stage/log") ||
				{ cat "$stage/log"; return 1; }
		done
	done
}
