#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Formatting, vet and staticcheck. The helper and the command line are vetted for macOS and Windows too, where nothing
# else here can run them; the sidecar, so that what is Linux's alone says so there. They are compiled for it as the packages
# are (-trimpath), which then find them so. The window is vetted for Windows; for macOS it takes Apple's frameworks.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0

step() { printf '%-44s' "$1"; }
outcome() { if [ -z "$1" ]; then echo ok; else echo FAILED; printf '%s\n' "$1"; failed=1; fi; }

step "gofmt"
outcome "$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 -r gofmt -l -s)"

step "go vet"
outcome "$(go vet ./... 2>&1 || true)"

step "staticcheck"
outcome "$(go tool staticcheck ./... 2>&1 || true)"

step "go vet tests/kubernetes"
outcome "$(cd tests/kubernetes && gofmt -l -s . 2>&1 || true)"

for target in darwin/arm64 windows/amd64 linux/arm64; do
	step "go vet for $target"
	outcome "$(GOOS=${target%/*} GOARCH=${target#*/} CGO_ENABLED=0 go vet -trimpath ./helper/... ./app/... ./backend/... ./agent/redirect ./agent/sidecar/... 2>&1 || true)"
done
step "go vet of the window for windows/amd64"
outcome "$(GOOS=windows GOARCH=amd64 CGO_ENABLED=0 go vet -trimpath -tags desktop,production . ./app/desktop ./app/tray 2>&1 || true)"

step "shell scripts parse"
outcome "$(git ls-files '*.sh' .ci/run ':!*/testdata/*' | while read -r script; do bash -n "$script" 2>&1 || true; done)"

exit "$failed"
