// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"golang.org/x/sys/windows"
)

// asRoot refuses to go on without the rights that a command needs.
func asRoot(command string) error {
	if !windows.GetCurrentProcessToken().IsElevated() {
		return fmt.Errorf("it takes an administrator: run fairlead-helper %s from an elevated prompt", command)
	}
	return nil
}
