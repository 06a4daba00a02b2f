// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"

	"golang.org/x/sys/windows"

	"github.com/fairlead-dev/fairlead/helper/osservice"
)

// invoker is the security identifier of who sits at the desktop, else of who runs this: the user who is meant when none is named. An
// administrator who gave the password for somebody else is not who wants to connect.
func invoker(func(string) string) string {
	if user := desktopUser(); user != "" {
		return user
	}
	return userOf(windows.GetCurrentProcessToken())
}

// desktopUser is whose the process is that shows the desktop; empty if there is none.
func desktopUser() string {
	var pid uint32
	if _, err := windows.GetWindowThreadProcessId(windows.GetShellWindow(), &pid); err != nil || pid == 0 {
		return ""
	}
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return ""
	}
	defer windows.CloseHandle(process)
	var token windows.Token
	if err := windows.OpenProcessToken(process, windows.TOKEN_QUERY, &token); err != nil {
		return ""
	}
	defer token.Close()
	return userOf(token)
}

// userOf is a token's user; empty for the system itself, which may connect anyway.
func userOf(token windows.Token) string {
	user, err := token.GetTokenUser()
	if err != nil || user.User.Sid.IsWellKnown(windows.WinLocalSystemSid) {
		return ""
	}
	return user.User.Sid.String()
}

// pathFlag offers to put the program's folder on the PATH, and returns what does it if it was asked for.
func pathFlag(set *flag.FlagSet) func() error {
	wanted := set.Bool("path", false, "put the program's folder on the PATH of all users")
	return func() error {
		if !*wanted {
			return nil
		}
		return osservice.AddToPath()
	}
}
