// SPDX-License-Identifier: Apache-2.0

package packages

import (
	"debug/macho"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/tests/golden"
)

const bundleName = "fairlead-" + version + "-macos-arm64-without-window"

func bundle() string { return filepath.Join(dist, bundleName+".tar.gz") }

// TestTheBundle unpacks what a Mac finishes. All that tells of the machine it was made on is the same everywhere.
func TestTheBundle(t *testing.T) {
	folder := t.TempDir()
	listed := output(t, "tar", "--utc", "-tvzf", bundle())
	var files strings.Builder
	times := map[string]bool{}
	for line := range strings.Lines(listed) {
		fields := strings.Fields(line) // mode, owner, size, date, time, name
		times[fields[3]+fields[4]] = true
		fmt.Fprintln(&files, fields[0], fields[1], fields[5])
	}
	golden.Compare(t, filepath.Join("testdata", "bundle.txt"), files.String())
	if len(times) != 1 {
		t.Errorf("files are of different times: %v", times)
	}

	output(t, "tar", "-xzf", bundle(), "-C", folder)
	contents := filepath.Join(folder, bundleName, "Fairlead.app", "Contents")
	for _, program := range []string{"fairlead", "fairlead-helper"} {
		file, err := macho.Open(filepath.Join(contents, "MacOS", program))
		if err != nil {
			t.Fatal(err)
		}
		signed := false
		for _, load := range file.Loads {
			const codeSignature = 0x1d // LC_CODE_SIGNATURE (mach-o/loader.h); without one, arm64 does not run it
			signed = signed || file.ByteOrder.Uint32(load.Raw()) == codeSignature
		}
		if file.Cpu != macho.CpuArm64 || file.Type != macho.TypeExec || !signed {
			t.Errorf("%s: %v, %v, signed %t", program, file.Cpu, file.Type, signed)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, list := range []string{"Info.plist", "Resources/dev.fairlead.helper.plist"} {
		output(t, "plistutil", "-i", filepath.Join(contents, list), "-o", filepath.Join(folder, "binary")) // parses it
	}
	text, err := os.ReadFile(filepath.Join(contents, "Info.plist"))
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, filepath.Join("testdata", "Info.plist"), string(text))
}

// TestABundleIsFinished runs the script for a Mac with programs in place of Apple's, which write down how they are called.
func TestABundleIsFinished(t *testing.T) {
	for name, environment := range map[string][]string{
		"finish-adhoc.txt":     nil,
		"finish-notarized.txt": {"SIGN_AS=Developer ID Application: Fairlead", "NOTARY_PROFILE=fairlead"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			programs := filepath.Join(folder, "bin")
			if err := os.Mkdir(programs, 0o755); err != nil {
				t.Fatal(err)
			}
			// Each leaves the file that it is asked for, so that what follows finds it.
			for program, does := range map[string]string{
				"go":       `echo "CGO_ENABLED=$CGO_ENABLED GOOS=$GOOS GOARCH=$GOARCH CGO_CFLAGS=$CGO_CFLAGS CGO_LDFLAGS=$CGO_LDFLAGS" >>"$CALLS"; while [ "$1" != -o ]; do shift; done; echo window >"$2"`,
				"codesign": `for last; do :; done; [ -e "$last" ]`,
				"hdiutil":  `for last; do :; done; test -x "$6/Fairlead.app/Contents/MacOS/fairlead" -a -f "$6/Fairlead.app/Contents/MacOS/fairlead-desktop" -a -L "$6/Applications"; echo image >"$last"`,
				"xcrun":    `[ -f "$3" ]`,
			} {
				text := "#!/bin/sh\nset -e\necho \"$(basename \"$0\") $*\" >>\"$CALLS\"\n" + does + "\n"
				if err := os.WriteFile(filepath.Join(programs, program), []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			archive := filepath.Join(folder, filepath.Base(bundle()))
			output(t, "cp", bundle(), archive)
			calls := filepath.Join(folder, "calls")
			command := exec.Command(filepath.Join(root(t), "build/packages/macos/finish.sh"), archive)
			command.Env = append(os.Environ(), append(environment, "PATH="+programs+":"+os.Getenv("PATH"), "CALLS="+calls)...)
			out, err := command.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if image := filepath.Join(folder, "fairlead-"+version+"-macos-arm64.dmg"); !strings.HasSuffix(string(out), "Made "+image+"\n") {
				t.Errorf("it says:\n%s", out)
			}
			called, err := os.ReadFile(calls)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(string(called), folder, "FOLDER")
			golden.Compare(t, filepath.Join("testdata", name), regexp.MustCompile(`\S*/tmp\.\w+`).ReplaceAllString(text, "STAGE"))
		})
	}
}
