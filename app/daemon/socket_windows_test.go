// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"crypto/rand"
	"testing"
)

func testSocket(*testing.T) string { return `\\.\pipe\fairlead-test-` + rand.Text() }
