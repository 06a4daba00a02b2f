// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"slices"
	"testing"
)

// rooms says for each part of the repository what it may import of the others. The first room that a folder lies in
// counts, so the narrower ones come first.
var rooms = []struct {
	room string
	may  []string
	why  string
}{
	{"agent/api/carrier", nil, "the wire format that both ends of the tunnel share stands alone"},
	{"agent/api", []string{"agent/api"}, "API types have no logic to import"},
	{"agent", []string{"agent"}, "the in-cluster agent knows nothing of laptops"},
	{"helper/api", nil, "the contract of the privileged helper stands alone"},
	{"helper/client", []string{"helper/api", "helper/localsocket"}, "callers of the helper must not pull in what runs as root"},
	{"helper", []string{"helper", "agent/api/carrier"}, "what runs as root is only its own code, and the wire format"},
	{"backend/problem", nil, "everything may report problems, so problems depend on nothing"},
	{"backend/cluster", []string{"backend/problem", "agent/api"}, "access to a cluster needs no session"},
	{"backend/gateway", []string{"backend/problem", "backend/cluster", "agent/api", "charts"}, "installing needs no session and no helper"},
	{"backend/carrier", []string{"backend/problem", "backend/cluster", "agent/api"}, "carriers know nothing of the session they carry"},
	{"backend/session", []string{"backend", "agent/api", "helper/api", "helper/client"}, "only the session translates between the helper's contract and the cluster's"},
	{"backend", []string{"backend", "agent/api", "helper/api", "helper/client"}, "user-level logic has no faces and no privilege"},
	{"app/localapi", []string{"app/localapi", "backend"}, "the local API is made of backend types"},
	{"app/desktop", []string{"app/localapi", "app/daemon", "app/desktop", "app/tray", "backend/activity", "backend/problem", "backend/session"}, "the window owns no session"},
	{"app/tray", []string{"app/localapi", "app/tray", "backend/problem", "backend/session"}, "the tray is a function of the status"},
	{"app", []string{"app", "backend", "helper/client", "frontend"}, "faces reach the cluster and the helper through the backend"},
	{"charts", []string{"charts"}, "the chart is data"},
	{"frontend", nil, "the page is data"},
	{"tests", []string{"agent", "app", "backend", "charts", "frontend", "helper", "tests"}, "tests may look at everything"},
	{".", []string{"app", "frontend"}, "main.go is wiring only"},
}

func TestImportsGoOneWay(t *testing.T) {
	for _, file := range readSources(t) {
		for _, rule := range rooms {
			if rule.room == "." && file.folder != "." || rule.room != "." && !within(file.folder, rule.room) {
				continue
			}
			for _, imported := range file.imports() {
				if within(imported, rule.room) && rule.room != "agent/api/carrier" || file.test && imported == "tests/golden" {
					continue
				}
				if !slices.ContainsFunc(rule.may, func(may string) bool { return within(imported, may) }) {
					t.Errorf("%s imports %s: %s", file.path, imported, rule.why)
				}
			}
			break
		}
	}
}

// TestEveryRoomHasARule keeps a new top-level folder from escaping the rules.
func TestEveryRoomHasARule(t *testing.T) {
	for _, file := range readSources(t) {
		known := slices.ContainsFunc(rooms, func(rule struct {
			room string
			may  []string
			why  string
		}) bool {
			return rule.room == file.folder || rule.room != "." && within(file.folder, rule.room)
		})
		if !known {
			t.Errorf("%s lies in no room that the layout knows", file.path)
		}
	}
}
