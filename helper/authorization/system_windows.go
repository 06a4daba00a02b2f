// SPDX-License-Identifier: Apache-2.0

package authorization

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// DefaultPath is where install writes the policy: the folder of the programs, in which only administrators write.
var DefaultPath = filepath.Join(programFiles(), "Fairlead", "helper.json")

// programFiles is where Windows has programs; the system says so itself, because an environment variable could be anybody's.
func programFiles() string {
	folder, err := windows.KnownFolderPath(windows.FOLDERID_ProgramFiles, windows.KF_FLAG_DEFAULT)
	if err != nil {
		return `C:\Program Files`
	}
	return folder
}

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

// Entrust makes the administrators own the policy file at path, whoever of them has written it. Its folder says who may write.
func Entrust(path string) error {
	administrators, err := windows.CreateWellKnownSid(windows.WinBuiltinAdministratorsSid)
	if err != nil {
		return err
	}
	return windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION, administrators, nil, nil, nil)
}
