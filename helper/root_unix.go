// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"fmt"
	"os"
)

// asRoot refuses to go on without the rights that a command needs.
func asRoot(command string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("it takes root: sudo fairlead-helper %s", command)
	}
	return nil
}
