// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// FindProgram returns the file of the command line program, whose daemon the window shows: the one beside this
// program's own file, else the one in PATH.
func FindProgram(own string) (string, error) {
	name := "fairlead"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if resolved, err := filepath.EvalSymlinks(own); err == nil {
		own = resolved
	}
	beside := filepath.Join(filepath.Dir(own), name)
	if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
		return beside, nil
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return "", problem.New(problem.NotFound, "Install it beside "+own+", or in a folder of PATH.", "the program %s, which the window works with, is not there", name)
	}
	return found, nil
}
