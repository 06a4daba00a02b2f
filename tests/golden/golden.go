// SPDX-License-Identifier: Apache-2.0

// Package golden compares what a test made with a file that somebody has looked at: `go test PACKAGE -update` writes the files
// anew, and the change to them is reviewed like code.
//
// It owns the flag -update of every test that imports it. It may be imported by tests of every part of the repository, and by
// nothing else; it must import none of them.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Updating reports whether golden files are to be written, for those that are not text.
func Updating() bool { return *update }

// Compare fails the test where got is not what is in the file, whose path is relative to the package of the test. With -update it
// writes the file first, and its folder.
func Compare(t testing.TB, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is another now; if that is meant, run the test with -update (-file +now):\n%s", file, diff)
	}
}
