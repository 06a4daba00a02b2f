// SPDX-License-Identifier: Apache-2.0

package osservice

import "os"

// removeProgram removes the service's copy of the program, and takes its folder from the PATH. Windows does not remove the file of
// a program that runs: where that is what runs now, it stays for whoever called it, such as the uninstaller.
func removeProgram() error {
	if err := removeFromPath(); err != nil {
		return err
	}
	if own, err := os.Executable(); err == nil && same(own, Files.Program) {
		return nil
	}
	return os.RemoveAll(Files.Program)
}
