// SPDX-License-Identifier: Apache-2.0

package osservice

import "strings"

// pathSeparator is between the folders of Windows' PATH.
const pathSeparator = ";"

// withFolder adds a folder at the end of a PATH of Windows, unless it is in it.
func withFolder(list, folder string) string {
	for entry := range strings.SplitSeq(list, pathSeparator) {
		if sameFolder(entry, folder) {
			return list
		}
	}
	if list == "" || strings.HasSuffix(list, pathSeparator) {
		return list + folder
	}
	return list + pathSeparator + folder
}

// withoutFolder removes a folder from a PATH of Windows. What else is in it stays as it is written.
func withoutFolder(list, folder string) string {
	var kept []string
	for entry := range strings.SplitSeq(list, pathSeparator) {
		if !sameFolder(entry, folder) {
			kept = append(kept, entry)
		}
	}
	return strings.Join(kept, pathSeparator)
}

// sameFolder compares as Windows does: without regard to case, quotes or a backslash at the end.
func sameFolder(entry, folder string) bool {
	entry = strings.Trim(strings.TrimSpace(entry), `"`)
	return strings.EqualFold(strings.TrimSuffix(entry, `\`), folder)
}
