// SPDX-License-Identifier: Apache-2.0

package authorization

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/windows"
)

// DefaultPath is where install writes the policy.
const DefaultPath = `C:\Program Files\Fairlead\helper.json`

// isID reports whether an entry is a security identifier.
func isID(entry string) bool { return strings.HasPrefix(entry, "S-1-") }

// checkTrusted refuses a file that does not belong to LocalSystem or the administrators.
func checkTrusted(file *os.File) error {
	descriptor, err := windows.GetSecurityInfo(windows.Handle(file.Fd()), windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("read owner: %w", err)
	}
	owner, _, err := descriptor.Owner()
	if err != nil {
		return fmt.Errorf("read owner: %w", err)
	}
	if !owner.IsWellKnown(windows.WinLocalSystemSid) && !owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) {
		return errors.New("it does not belong to the system or the administrators")
	}
	return nil
}
