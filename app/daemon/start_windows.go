// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// detached gives the daemon no console, and no Ctrl-C meant for whoever started it.
func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}

// startFolder keeps no folder from being removed.
func startFolder() string { return os.Getenv("SystemRoot") }
