// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"net"

	"github.com/fairlead-dev/fairlead/helper/api"
)

// HelperDialer reaches the privileged helper of this machine.
type HelperDialer interface {
	// Dial opens the control connection. A helper that is not there is a problem.HelperMissing.
	Dial(ctx context.Context) (Helper, error)
}

// Helper is one control connection to the helper. The session that Prepare opens lives as long as this connection.
// Methods are safe to call from several goroutines.
type Helper interface {
	Version(ctx context.Context) (api.VersionReply, error)
	Prepare(ctx context.Context, r api.PrepareRequest) (api.PrepareReply, error)
	Up(ctx context.Context, r api.UpRequest) (api.Status, error)
	Update(ctx context.Context, r api.UpdateRequest) (api.Status, error)
	Down(ctx context.Context, r api.DownRequest) error
	// Watch delivers the helper's Status now, on each change and at least every 500 ms, to each until it returns an
	// error, ctx is done, or the helper goes away; it always returns an error that says which.
	Watch(ctx context.Context, r api.WatchRequest, each func(api.Status) error) error
	// Carrier hands over a relay: what is written to and read from the connection are raw relay bytes.
	Carrier(ctx context.Context, r api.CarrierRequest) (net.Conn, error)
	// Done is closed when the control connection is gone, and with it the session in the helper.
	Done() <-chan struct{}
	Close() error
}
