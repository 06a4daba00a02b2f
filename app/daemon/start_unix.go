// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin

package daemon

import "syscall"

// detached puts the daemon into a session of its own: no terminal, and no signal meant for whoever started it.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// startFolder keeps no file system from being unmounted.
func startFolder() string { return "/" }
