// SPDX-License-Identifier: Apache-2.0

package localapi

import "strings"

// Compatible reports whether two versions have the same major and minor number: then the parts understand each other.
func Compatible(a, b string) bool { return minor(a) == minor(b) }

// minor returns the part of a version up to its second dot, or to what follows the numbers, as in 1.2-beta.
func minor(version string) string {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "-")
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}
