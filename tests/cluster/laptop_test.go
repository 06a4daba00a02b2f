// SPDX-License-Identifier: Apache-2.0

package cluster

import "testing"

func TestMergeAccountsDropsClashes(t *testing.T) {
	existing := "root:x:0:0::/root:/bin/bash\ndebian:x:1000:1000::/home/debian:/bin/bash\nother:x:1005:1005::/x:/bin/sh\nbroken\n"
	got := mergeAccounts(existing, []string{"dev:x:1000:1000::/home/dev:/bin/bash", "other:x:1001:1001::/home/other:/bin/bash"})
	want := "root:x:0:0::/root:/bin/bash\ndev:x:1000:1000::/home/dev:/bin/bash\nother:x:1001:1001::/home/other:/bin/bash\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFileNamesAreSafeAndDistinct(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"dev", "alice@example.com", "alice-example.com", "alice/example.com", "../../etc/passwd", "system:node:node1", ""} {
		got := fileName(name)
		for _, r := range got {
			if r == '/' || r == '.' {
				t.Errorf("%q becomes %q", name, got)
			}
		}
		if other, taken := seen[got]; taken {
			t.Errorf("%q and %q both become %q", name, other, got)
		}
		seen[got] = name
	}
}

func TestCgroupRootTellsCheckoutsApart(t *testing.T) {
	one, two := cgroupRoot("/a/.cluster/dev"), cgroupRoot("/b/.cluster/dev")
	if one == two || len(one) != len("/fairlead-dev-12345678") {
		t.Errorf("%q and %q", one, two)
	}
}
