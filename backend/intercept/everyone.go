// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// WatchEveryone calls show with who intercepts what, by namespace and name, now and on each change, until ctx is done. Who
// may not see all namespaces is shown those of fallback.
func (m *Manager) WatchEveryone(ctx context.Context, access *cluster.Access, fallback string, show func([]session.Intercept)) error {
	return access.WatchIntercepts(ctx, "", fallback, func(objects []v1alpha1.Intercept) {
		all := make([]session.Intercept, 0, len(objects))
		for i := range objects {
			all = append(all, m.Describe(&objects[i]))
		}
		sortIntercepts(all)
		show(all)
	})
}
