// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"net/http"
)

// signed returns a Snapshot with whose it is.
func signed(b Backend, s Snapshot) Snapshot {
	v := b.Version()
	s.Daemon = DaemonInfo{Version: v.Version, Started: v.Started, Log: v.Log}
	return s
}

// watchSnapshots serves snapshots as server-sent events.
func watchSnapshots(b Backend) http.Handler {
	return watch(eventSnapshot, func(ctx context.Context) <-chan Snapshot {
		out := make(chan Snapshot)
		go func() {
			defer close(out)
			for s := range b.WatchSnapshots(ctx) {
				select {
				case out <- signed(b, s):
				case <-ctx.Done():
					return
				}
			}
		}()
		return out
	})
}

// Snapshot returns all that a face shows without asking.
func (c *Client) Snapshot(ctx context.Context) (Snapshot, error) {
	return call[Snapshot](ctx, c, http.MethodGet, "/v1/snapshot", nil)
}

// WatchSnapshots calls each with the Snapshot now and on each change. It returns each's error, the context's once it is
// done, or nil when the daemon ends.
func (c *Client) WatchSnapshots(ctx context.Context, each func(Snapshot) error) error {
	return follow(ctx, c, "/v1/watch", eventSnapshot, each)
}
