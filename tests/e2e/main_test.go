// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	"github.com/fairlead-dev/fairlead/tests/cluster"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// env is the environment of this package's tests: one node, two laptops with a plain resolv.conf.
var env *harness.Environment

func TestMain(m *testing.M) {
	harness.Main(m, cluster.Config{Name: "e2e", Laptops: 2}, func(e *harness.Environment) { env = e })
}
