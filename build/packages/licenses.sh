#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prints the licences of everything of others that is in the programs: Go and its modules, and what the page contains.
# The arguments are those of "go list": build tags and packages.
set -euo pipefail
cd "$(dirname "$0")/../.."

heading() { printf '\n%s\n%s\n\n' "$1" "${1//?/=}"; }

# Prints the licence and notice files of a folder; one without any is an error, so that none is forgotten.
print_licenses() {
	local name=$1 folder=$2 files
	files=$(find "$folder" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' -o -iname 'notice*' \) | LC_ALL=C sort)
	if [ -z "$files" ]; then
		echo "There is no licence in $folder ($name)." >&2
		exit 1
	fi
	heading "$name"
	local file
	while IFS= read -r file; do cat "$file"; echo; done <<<"$files"
}

echo "Fairlead contains software of others, under these licences."
print_licenses "The Go programming language, $(go env GOVERSION)" "$(go env GOROOT)"
modules=$(go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}	{{.Dir}}{{end}}{{end}}' "$@" | LC_ALL=C sort -u)
while IFS=$'\t' read -r name folder; do print_licenses "$name" "$folder"; done <<<"$modules"
for package in svelte esm-env clsx; do # the page is made of its own files and these
	folder=frontend/node_modules/$package
	print_licenses "$package $(sed -n 's/^\t*  *"version": "\(.*\)".*/\1/p; s/^\t"version": "\(.*\)".*/\1/p' "$folder/package.json" | head -n1)" "$folder"
done
