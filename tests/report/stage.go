// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// event is the part of a `go test -json` record (go doc test2json) that counts.
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

// stageResult is what one stage of the tests came to.
type stageResult struct {
	name    string
	ok      bool // the stage's own exit status was 0
	present bool // the stage left an outcome at all
	seconds string
	passed  int
	failed  []failure
	skipped []string
	stderr  string
}

// failure is one test, or one package that did not build, and what it printed.
type failure struct{ name, output string }

// readStage reads what a stage left in the folder. Nothing left is a result too: one that failed.
func readStage(folder fs.FS, name string) stageResult {
	r := stageResult{name: name}
	if outcome, err := fs.ReadFile(folder, name+".outcome"); err == nil {
		r.present, r.ok = true, strings.TrimSpace(string(outcome)) == "pass"
	}
	if seconds, err := fs.ReadFile(folder, name+".seconds"); err == nil {
		r.seconds = strings.TrimSpace(string(seconds)) + " s"
	}
	if stderr, err := fs.ReadFile(folder, name+".stderr"); err == nil {
		r.stderr = string(stderr)
	}
	events, err := folder.Open(name + ".json")
	if err != nil { // not made of Go tests: the stage itself is the test
		if r.ok {
			r.passed = 1
		} else {
			r.failed = append(r.failed, failure{name: name})
		}
		return r
	}
	defer events.Close()
	r.count(events)
	if !r.ok && len(r.failed) == 0 {
		r.failed = append(r.failed, failure{name: name + ": go test", output: r.stderr})
	}
	return r
}

// count adds up the events of a `go test -json` run. A package counts only when it fails without a failed test in it:
// it did not build, panicked, or ran out of time.
func (r *stageResult) count(events io.Reader) {
	output := map[string]*strings.Builder{}
	failedIn := map[string]bool{}
	scanner := bufio.NewScanner(events)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var e event
		if json.Unmarshal(scanner.Bytes(), &e) != nil {
			continue
		}
		pkg := e.Package
		if pkg == "" {
			pkg = e.ImportPath
		}
		name := pkg
		if e.Test != "" {
			name += " " + e.Test
		}
		switch e.Action {
		case "output", "build-output":
			if output[name] == nil {
				output[name] = &strings.Builder{}
			}
			output[name].WriteString(e.Output)
		case "pass":
			if e.Test != "" {
				r.passed++
			}
			delete(output, name)
		case "skip":
			if e.Test != "" {
				r.skipped = append(r.skipped, name)
			}
		case "fail", "build-fail":
			if e.Test != "" {
				failedIn[pkg] = true
			} else if failedIn[pkg] {
				continue
			}
			text := ""
			if output[name] != nil {
				text = output[name].String()
			}
			r.failed = append(r.failed, failure{name, text})
		}
	}
}

// endLines is how much of a long output is shown ahead of it: a test that logs much says at its end why it failed, and who
// reads a log from its beginning, or only a part of it, is to find that first.
const endLines = 25

// writeFailures prints every failure with what it printed, and the names of the tests that were skipped.
func (r *stageResult) writeFailures(w io.Writer) {
	for _, f := range r.failed {
		fmt.Fprintf(w, "FAILED %s\n", f.name)
		if lines := strings.Split(strings.TrimRight(f.output, "\n"), "\n"); len(lines) > 2*endLines {
			fmt.Fprintf(w, "  its last %d lines:\n%s\n  all it printed:\n", endLines, indent(strings.Join(lines[len(lines)-endLines:], "\n")))
		}
		fmt.Fprintf(w, "%s\n", indent(f.output))
	}
	for _, name := range r.skipped {
		fmt.Fprintf(w, "SKIPPED %s\n", name)
	}
}

// line sums the stage up.
func (r *stageResult) line() string {
	return fmt.Sprintf("%-12s %4d passed, %d failed, %d skipped  %s", r.name, r.passed, len(r.failed), len(r.skipped), r.seconds)
}

// writeSummary prints a line for each stage and one for all, and reports whether everything passed.
func writeSummary(w io.Writer, results []stageResult) bool {
	passed, failed, skipped, ok := 0, 0, 0, len(results) > 0
	for _, r := range results {
		fmt.Fprintln(w, r.line())
		for _, f := range r.failed {
			fmt.Fprintf(w, "    FAILED %s\n", f.name)
		}
		passed, failed, skipped = passed+r.passed, failed+len(r.failed), skipped+len(r.skipped)
		ok = ok && r.present && r.ok && len(r.failed) == 0
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	return ok
}

// indent sets text off from the lines around it.
func indent(text string) string {
	if text == "" {
		return ""
	}
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}
