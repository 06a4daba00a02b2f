// SPDX-License-Identifier: Apache-2.0

//go:build unix

package osservice

import "os"

// removeProgram removes the service's copy of the program.
func removeProgram() error { return os.RemoveAll(Files.Program) }
