// SPDX-License-Identifier: Apache-2.0

//go:build unix

package terminal

import (
	"os/exec"
	"syscall"
)

// detach keeps a program from ending with this one.
func detach(program *exec.Cmd) { program.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
