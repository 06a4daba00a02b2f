// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestSummaryCountsWhatRan(t *testing.T) {
	events := `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"boom\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p"}
{"Action":"build-output","ImportPath":"q","Output":"q.go:1: syntax error\n"}
{"Action":"build-fail","ImportPath":"q"}
`
	folder := fstest.MapFS{
		"unit.json": {Data: []byte(events)}, "unit.outcome": {Data: []byte("fail\n")}, "unit.seconds": {Data: []byte("3\n")},
		"lint.outcome": {Data: []byte("pass\n")},
	}
	var out strings.Builder
	if writeSummary(&out, []stageResult{readStage(folder, "lint"), readStage(folder, "unit")}) {
		t.Error("a summary with failures must not be ok")
	}
	if want := "2 passed, 2 failed, 1 skipped\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("summary ends with %q, want %q", out.String(), want)
	}
	unit := readStage(folder, "unit")
	var failures strings.Builder
	unit.writeFailures(&failures)
	for _, want := range []string{"FAILED p TestB\n    boom", "FAILED q\n    q.go:1: syntax error", "SKIPPED p TestC"} {
		if !strings.Contains(failures.String(), want) {
			t.Errorf("failures lack %q:\n%s", want, failures.String())
		}
	}
}

func TestSummaryOfAStageThatLeftNothing(t *testing.T) {
	var out strings.Builder
	if writeSummary(&out, []stageResult{readStage(fstest.MapFS{}, "e2e")}) {
		t.Error("a stage without a result must not be ok")
	}
	if writeSummary(&out, nil) {
		t.Error("a summary of nothing must not be ok")
	}
}

func TestSummaryOfPassingStages(t *testing.T) {
	folder := fstest.MapFS{
		"unit.json":    {Data: []byte(`{"Action":"pass","Package":"p","Test":"TestA"}` + "\n")},
		"unit.outcome": {Data: []byte("pass\n")},
	}
	var out strings.Builder
	if !writeSummary(&out, []stageResult{readStage(folder, "unit")}) {
		t.Errorf("all passed, but the summary says no:\n%s", out.String())
	}
}

func TestEndOfALongOutputComesFirst(t *testing.T) {
	long := strings.Repeat("noise\n", 3*endLines) + "the reason\n"
	var out strings.Builder
	(&stageResult{failed: []failure{{name: "p TestA", output: long}}}).writeFailures(&out)
	lines := strings.Split(out.String(), "\n")
	if got := lines[1+endLines]; got != "    the reason" {
		t.Errorf("line %d is %q, want the last one of the output", 1+endLines, got)
	}
	if got := strings.Count(out.String(), "noise"); got != 3*endLines+endLines-1 {
		t.Errorf("%d lines of noise: the whole output must follow", got)
	}
}
