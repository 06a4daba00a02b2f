// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"crypto/rand"
	"testing"
)

func testSocket(*testing.T) string { return `\\.\pipe\fairlead-test-` + rand.Text() }
