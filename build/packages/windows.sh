# SPDX-License-Identifier: Apache-2.0
# The installer for Windows; build.sh says what is set.

# The tunnel's driver: a library that its makers have signed, and which wintun.net offers. The sum is the one that is published there.
wintun_version=0.14.1
wintun_sha256=07c256185d6ee3652e09fa55c0b673e2624b565e02c4b9091c79ca7d2f24ef51

# wintun_from ZIP SHA256 FOLDER unpacks the library and its licence, if the archive is the one that it should be.
wintun_from() {
	local zip=$1 want=$2 folder=$3 have
	[ -f "$zip" ] || { echo "There is no file $zip (WINTUN_ZIP)." >&2; return 1; }
	have=$(sha256sum <"$zip")
	if [ "${have%% *}" != "$want" ]; then
		echo "$zip (WINTUN_ZIP) is not wintun-$wintun_version.zip of wintun.net: its SHA-256 is ${have%% *}, not $want." >&2
		return 1
	fi
	unzip -qoj "$zip" wintun/bin/amd64/wintun.dll -d "$folder" && unzip -qp "$zip" wintun/LICENSE.txt >"$folder/wintun-license.txt"
}

# windows_program FOLDER PROGRAM DESCRIPTION PACKAGE [FLAG...] builds a program, with its icon, manifest and version. The window's
# flags make it one without a console.
windows_program() {
	local folder=$1 program=$2 description=$3 package=$4 link="-s -w -X main.version=$VERSION"
	shift 4
	[ "$program" != fairlead-desktop ] || link+=" -H windowsgui"
	CGO_ENABLED=0 GOOS=windows GOARCH=amd64 go build -trimpath "$@" -ldflags "$link" -o "$folder/$program.exe" "$package"
	fill -e "s/@PROGRAM@/$program/g; s/@DESCRIPTION@/$description/g; s/@NUMBERS@/$numbers/g" \
		-e "s/@TIME@/$(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ)/" "$here/windows/winres.json" >"$stage/winres/$program.json"
	"$winres" patch --no-backup --in "$stage/winres/$program.json" "$folder/$program.exe"
}

windows_installer() {
	local files=$stage/windows winres numbers=${VERSION%%-*}.0 name=fairlead-$VERSION-windows-amd64-setup define=()
	echo "── windows, amd64"
	command -v makensis >/dev/null || { echo "There is no makensis: build/install-deps.sh packages installs it." >&2; return 1; }
	mkdir -p "$files" "$stage/winres"
	if [ -n "${WINTUN_ZIP:-}" ]; then
		wintun_from "$WINTUN_ZIP" "$wintun_sha256" "$files"
		define=(-DWINTUN)
	else
		name+=-without-wintun
		echo "The tunnel's driver is left out, and the installer's name says so: give WINTUN_ZIP=…/wintun-$wintun_version.zip, which"
		echo "is at https://www.wintun.net/builds/wintun-$wintun_version.zip. Without wintun.dll beside the helper nobody can connect."
	fi
	winres=$(packager go-winres github.com/tc-hib/go-winres)
	cp build/icons/fairlead.ico "$stage/winres/"
	windows_program "$files" fairlead "Fairlead" ./app/cli
	windows_program "$files" fairlead-helper "Fairlead helper" ./helper
	windows_program "$files" fairlead-desktop "Fairlead" . -tags desktop,production
	sed 's/$/\r/' LICENSE >"$files/license.txt"
	GOOS=windows GOARCH=amd64 CGO_ENABLED=0 "$here/licenses.sh" -tags desktop,production ./app/cli ./helper . | tr -d '\r' | sed 's/$/\r/' >"$files/third-party-licenses.txt"
	cp build/icons/fairlead.ico "$here/windows/fairlead.nsi" "$files/"
	# An installer records when its files were written.
	find "$files" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
	(cd "$files" && makensis -V2 -WX -DVERSION="$VERSION" -DNUMBERS="$numbers" "${define[@]}" "-XOutFile $dist/$name.exe" fairlead.nsi)
}
