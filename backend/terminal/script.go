// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// dialect is how a shell is told what to do.
type dialect struct {
	file   string      // name
	mode   os.FileMode // whether it is run by itself
	script func(o Options, file string) []byte
}

var (
	posix       = dialect{"begin.sh", 0o600, posixScript}
	commandFile = dialect{"fairlead.command", 0o700, posixScript} // which Terminal.app runs
	powerShell  = dialect{"begin.ps1", 0o600, powerShellScript}
)

var shellName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// posixScript deletes itself and its folder, sets the variables and becomes the user's shell.
func posixScript(o Options, file string) []byte {
	var b strings.Builder
	quote := func(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
	fmt.Fprintf(&b, "#!/bin/sh\nrm -f -- %s\nrmdir -- %s\n", quote(file), quote(filepath.Dir(file)))
	for _, v := range o.Variables {
		if shellName.MatchString(v.Name) && !strings.ContainsRune(v.Value, 0) {
			fmt.Fprintf(&b, "export %s=%s\n", v.Name, quote(v.Value))
		}
	}
	if o.Folder != "" {
		fmt.Fprintf(&b, "cd -- %s\n", quote(o.Folder))
	} else {
		b.WriteString("cd\n")
	}
	fmt.Fprintf(&b, "printf '%%s\\n' %s\nexec \"${SHELL:-/bin/sh}\"\n", quote(o.Greeting))
	return []byte(b.String())
}

// powerShellScript is the same for PowerShell; it is given the folder's removal when it has been read whole, as it is.
func powerShellScript(o Options, file string) []byte {
	var b strings.Builder
	quote := func(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
	b.WriteString("\ufeff") // else it is read in the system's code page
	fmt.Fprintf(&b, "Remove-Item -Recurse -LiteralPath %s\r\n", quote(filepath.Dir(file)))
	for _, v := range o.Variables {
		if v.Name != "" && !strings.ContainsAny(v.Name, "=\x00\r\n") && !strings.ContainsRune(v.Value, 0) {
			fmt.Fprintf(&b, "[Environment]::SetEnvironmentVariable(%s, %s)\r\n", quote(v.Name), quote(v.Value))
		}
	}
	if o.Folder != "" {
		fmt.Fprintf(&b, "Set-Location -LiteralPath %s\r\n", quote(o.Folder))
	}
	fmt.Fprintf(&b, "Write-Host %s\r\n", quote(o.Greeting))
	return []byte(b.String())
}
