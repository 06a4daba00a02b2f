// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/frontend"
)

// maxScript bounds what a first load brings in scripts, in bytes after gzip.
const maxScript = 150_000

func TestScreens(t *testing.T) {
	runScript(t, "screens.mjs", newFake().serve(t), nil)
}

func TestFirstLoadIsSmall(t *testing.T) {
	files := frontend.Files()
	scripts := 0
	err := fs.WalkDir(files, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".js") {
			return err
		}
		content, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		var packed bytes.Buffer
		writer := gzip.NewWriter(&packed)
		if _, err := writer.Write(content); err != nil {
			return err
		}
		if err := writer.Close(); err != nil {
			return err
		}
		scripts += packed.Len()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes of gzipped script", scripts)
	if scripts == 0 || scripts > maxScript {
		t.Errorf("the page has %d bytes of gzipped script, want 1 to %d", scripts, maxScript)
	}
}
