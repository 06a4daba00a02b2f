// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// fakeDialogs answer without asking anybody.
type fakeDialogs struct {
	chosen []string
	folder string // that files are saved in; empty is cancelled
	err    error
	name   string // that was suggested
}

func (f *fakeDialogs) choose(string) ([]string, error) { return f.chosen, f.err }

func (f *fakeDialogs) save(_, name string) (string, error) {
	f.name = name
	if f.folder == "" {
		return "", f.err
	}
	return filepath.Join(f.folder, "given"), f.err
}

func TestFilesOfThePage(t *testing.T) {
	folder := t.TempDir()
	content := []byte("A=1\n")
	for _, test := range []struct {
		name    string
		request fileRequest
		dialogs fakeDialogs
		want    fileResponse
		file    bool
	}{
		{"some are chosen", fileRequest{ID: "1", Do: "choose"}, fakeDialogs{chosen: []string{"/a", "/b"}}, fileResponse{ID: "1", Paths: []string{"/a", "/b"}}, false},
		{"none is chosen", fileRequest{ID: "2", Do: "choose"}, fakeDialogs{}, fileResponse{ID: "2", Paths: []string{}}, false},
		{"not saved", fileRequest{ID: "3", Do: "save", Name: "x", Content: content}, fakeDialogs{}, fileResponse{ID: "3", Paths: []string{}}, false},
		{"saved", fileRequest{ID: "4", Do: "save", Name: "x", Content: content}, fakeDialogs{folder: folder}, fileResponse{ID: "4", Paths: []string{filepath.Join(folder, "given")}}, true},
		{"no dialog", fileRequest{ID: "5", Do: "choose"}, fakeDialogs{err: errors.New("no screen")}, fileResponse{ID: "5", Paths: []string{}, Error: "no screen"}, false},
		{"something else", fileRequest{ID: "6", Do: "delete"}, fakeDialogs{}, fileResponse{ID: "6", Paths: []string{}, Error: `the window can't do "delete" with files`}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(folder, "given")
			_ = os.Remove(file)
			if got := test.request.perform(&test.dialogs); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			info, err := os.Stat(file)
			if (err == nil) != test.file {
				t.Fatalf("a file is there: %v", err)
			}
			if test.file && (info.Mode().Perm() != 0o600 || info.Size() != int64(len(content))) {
				t.Errorf("it has %s and %d bytes", info.Mode(), info.Size())
			}
		})
	}
}

func TestAFileThatCantBeSavedSaysWhy(t *testing.T) {
	got := fileRequest{ID: "1", Do: "save"}.perform(&fakeDialogs{folder: filepath.Join(t.TempDir(), "gone")})
	if !strings.HasPrefix(got.Error, "save the file: ") || len(got.Paths) > 0 {
		t.Errorf("%+v", got)
	}
}

func TestTheSuggestedNameHasNoFolder(t *testing.T) {
	for name, want := range map[string]string{
		"a.zip": "a.zip", "/etc/passwd": "passwd", `C:\x\b.env`: "b.env", "../../c": "c", "": "", "..": "", "/": "", strings.Repeat("n", 300): "",
	} {
		var d fakeDialogs
		fileRequest{Do: "save", Name: name}.perform(&d)
		if d.name != want {
			t.Errorf("%.20q becomes %q, want %q", name, d.name, want)
		}
	}
}

func FuzzParseFileRequest(f *testing.F) {
	f.Add(`{"id": "1", "do": "save", "name": "x", "content": "QT0xCg=="}`)
	f.Add(`{"id": "</script>", "do": "choose"}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseFileRequest([]any{text})
		if err != nil {
			return
		}
		script := r.perform(&fakeDialogs{}).script()
		detail := strings.TrimSuffix(strings.TrimPrefix(script, `dispatchEvent(new CustomEvent("fairlead:files", {detail: `), "}))")
		var back fileResponse
		if err := json.Unmarshal([]byte(detail), &back); err != nil || len(back.ID) < len(r.ID) {
			t.Errorf("%q becomes %s", r.ID, script)
		}
	})
}

func TestRequestsThatAreNone(t *testing.T) {
	for _, data := range [][]any{nil, {"{}", "{}"}, {1}, {"x"}} {
		if r, err := parseFileRequest(data); err == nil {
			t.Errorf("%v is %+v", data, r)
		}
	}
}
