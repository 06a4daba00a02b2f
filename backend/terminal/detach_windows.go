// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// detach keeps a program from ending with this one, and gives it a window of its own.
func detach(program *exec.Cmd) {
	program.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_CONSOLE | windows.CREATE_NEW_PROCESS_GROUP}
}
