#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every stage of the tests, also after one has failed, and ends with a summary that counts what really ran.
# STAGES='lint unit' limits it to some.
set -uo pipefail
cd "$(dirname "$0")/.."
stages=${STAGES:-lint generate frontend desktop unit programs privileged cluster packages e2e}
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# A stage that is not made of Go tests counts as one test: it passed or it did not.
command_stage() {
	local name=$1
	shift
	echo "── $name"
	if "$@"; then echo pass >"$results/$name.outcome"; else echo fail >"$results/$name.outcome"; fi
}

# A stage of Go tests leaves the events that go test reports, for the summary to count.
go_stage() {
	local name=$1
	shift
	echo "── $name"
	go test -json "$@" >"$results/$name.json" 2>"$results/$name.stderr"
	local status=$?
	[ "$status" = 0 ] && echo pass >"$results/$name.outcome" || echo fail >"$results/$name.outcome"
	go run ./tests/report -stage "$name" "$results"
}

stage_lint() { command_stage lint tests/lint.sh; }
stage_generate() { command_stage generate tests/generated.sh; }
# The page is checked and built, then used in a browser; that is a stage of Go tests if it comes to it.
stage_frontend() {
	if make --no-print-directory frontend && (cd frontend && npm run --silent check && npm run --silent test); then
		go_stage frontend -timeout 15m ./tests/browser/...
	else
		command_stage frontend false
	fi
}
# The window is linked with the system's web view, so what needs the toolkit is vetted here, and not by lint.
stage_desktop() {
	if make --no-print-directory frontend && go vet -tags desktop,production,webkit2_41 . ./app/desktop ./app/tray && go vet -tags cluster ./tests/desktop; then
		go_stage desktop -timeout 5m ./tests/desktop/...
	else
		command_stage desktop false
	fi
}
stage_unit() { go_stage unit -race -timeout 15m ./agent/... ./app/... ./backend/... ./charts/... ./helper/... ./tests/architecture/... ./tests/report/...; }
stage_programs() { command_stage programs make --no-print-directory build; }
stage_privileged() { go_stage privileged -race -timeout 10m ./tests/privileged/...; }
stage_cluster() { go_stage cluster -timeout 20m ./tests/cluster/... ./tests/shop/...; }
# The packages of this machine's architecture, on a laptop under systemd, SysV init and rpm; those of other systems are looked into.
stage_packages() { go_stage packages -timeout 30m ./tests/packages/...; }
stage_e2e() { go_stage e2e -timeout 40m -p 1 ./tests/e2e/...; }

started=$SECONDS
for stage in $stages; do
	before=$SECONDS
	"stage_$stage"
	echo $((SECONDS - before)) >"$results/$stage.seconds"
done
echo
echo "── summary after $((SECONDS - started)) s"
# shellcheck disable=SC2086
go run ./tests/report -summary "$results" $stages
