// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"flag"
	"strings"
)

// invoker is who became root to run this, as a number: the user who is meant when none is named.
func invoker(environment func(string) string) string {
	for _, name := range []string{"SUDO_UID", "PKEXEC_UID", "DOAS_UID"} {
		if uid := environment(name); uid != "" && uid != "0" && strings.Trim(uid, "0123456789") == "" {
			return uid
		}
	}
	return ""
}

// pathFlag has nothing to offer: programs are put where they are found.
func pathFlag(*flag.FlagSet) func() error { return func() error { return nil } }
