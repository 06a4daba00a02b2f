// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	documented := map[string]bool{}
	for _, file := range readSources(t) {
		if file.test {
			continue
		}
		documented[file.folder] = documented[file.folder] || file.syntax.Doc != nil && len(file.syntax.Doc.Text()) >= 100
	}
	for folder, ok := range documented {
		if !ok {
			t.Errorf("the package in %s has no doc that says what it is for, what it owns and what it must not do", folder)
		}
	}
}

func TestFoldersHaveNamesThatSayWhatIsInThem(t *testing.T) {
	empty := []string{"util", "utils", "common", "helpers", "misc", "pkg", "lib", "shared", "base"}
	for _, file := range readSources(t) {
		if slices.Contains(empty, path.Base(file.folder)) {
			t.Errorf("%s: the folder's name says nothing about what is in it", file.folder)
		}
	}
}

func TestFilesHaveOneSubject(t *testing.T) {
	const mostLines = 500
	for _, file := range readSources(t) {
		if lines := strings.Count(file.text, "\n"); lines > mostLines && !file.generated {
			t.Errorf("%s has %d lines; more than %d is rarely one subject", file.path, lines, mostLines)
		}
	}
}

func TestFilesNameTheirLicence(t *testing.T) {
	for _, file := range readSources(t) {
		if !file.generated && !strings.Contains(file.text[:min(len(file.text), 400)], "// SPDX-License-Identifier: Apache-2.0\n") {
			t.Errorf("%s does not begin with the line // SPDX-License-Identifier: Apache-2.0", file.path)
		}
	}
}

func TestNothingIsLeftUnfinishedOrSkipped(t *testing.T) {
	marks := regexp.MustCompile(`\b(TODO|FIXME|XXX)\b|\b[tb]\.Skip(f|Now)?\(|not implemented`)
	for _, file := range readSources(t) {
		if file.generated || file.path == "tests/architecture/habits_test.go" {
			continue
		}
		for number, line := range strings.Split(file.text, "\n") {
			if marks.MatchString(line) {
				t.Errorf("%s:%d: %s", file.path, number+1, strings.TrimSpace(line))
			}
		}
	}
}

func TestErrorsSayWhatWasBeingDone(t *testing.T) {
	vague := regexp.MustCompile(`(Errorf|errors\.New)\("(failed to|could not|unable to|error |cannot )`)
	for _, file := range readSources(t) {
		for number, line := range strings.Split(file.text, "\n") {
			if !file.generated && vague.MatchString(line) {
				t.Errorf("%s:%d: name the action, as in \"read the kubeconfig: …\": %s", file.path, number+1, strings.TrimSpace(line))
			}
		}
	}
}
