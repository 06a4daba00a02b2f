// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin

package daemon

import (
	"os"
	"path/filepath"
	"testing"
)

func testSocket(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "fl") // t.TempDir may be longer than the 104 bytes that a socket's name can have
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return filepath.Join(folder, "daemon.sock")
}
