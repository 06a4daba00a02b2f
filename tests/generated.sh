#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Says whether what is generated is what would be generated now. Works on a copy, so that a tree being worked on is
# neither changed nor in the way.
set -euo pipefail
cd "$(dirname "$0")/.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$copy"
(cd "$copy" && go generate ./...)
changed=0
while IFS= read -r -d '' file; do
	cmp -s "$file" "$copy/$file" || { echo "$file is not what 'make generate' makes"; changed=1; }
done < <(git ls-files -z --cached --others --exclude-standard)
exit "$changed"
