// SPDX-License-Identifier: Apache-2.0

package flows

import (
	"context"
	"net"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// Pod is what the sidecar of one pod is to do, and where its flows go.
type Pod struct {
	UID             types.UID
	Namespace, Name string
	// Addresses are the pod's own. Connections from elsewhere are refused, so without them there are none.
	Addresses []netip.Addr
	// Container is the name of the sidecar container that is to serve now. Empty: any container of the pod that proves
	// itself.
	Container string
	// Order is what the sidecar is to do. Its Revision is filled in by the Server: it grows whenever the order changes.
	Order wire.Order
	// Targets says by the Intercept's UID where its flows go. Flows are taken only for rules of the Order that are not
	// suspended and have a target.
	Targets map[string]Target
}

// Target is the listener of a laptop.
type Target struct {
	Connection string // name of the Connection object
	TunnelPort uint16 // on the laptop's tunnel address
	// Ports says it for single ports of the pod whose TunnelPort is another.
	Ports map[Port]uint16
}

// Port is a port of a pod.
type Port struct {
	Number   uint16
	Protocol string // TCP or UDP
}

// State is what is known of a pod's sidecar.
type State struct {
	// Connected: the sidecar's control connection is open, and it was heard within wire.SilenceLimit.
	Connected bool
	// Container is its container, Program the version of its program. They stay when the connection is lost.
	Container string
	Program   string
	// Revision of the present order. It is carried out when Report.Revision is the same and Connected.
	Revision uint64
	// Report is the last one. Its Requests are left out: Requests has them.
	Report wire.Report
	// Since is when Connected last changed.
	Since time.Time
	// Refused says in plain words why the last attempt to connect was refused. A successful one clears it.
	Refused string
}

// Request is one of the latest requests of an intercept, and the pod where it came in.
type Request struct {
	Pod string // name
	wire.Request
}

// Laptops opens connections to laptops over the tunnel. It is safe for concurrent use.
type Laptops interface {
	// Dial opens a connection to a port of a laptop's tunnel address. It has to be closed by the caller; it also has
	// CloseWrite. The context bounds the dialing alone.
	Dial(ctx context.Context, connection string, port uint16) (net.Conn, error)
	// Heard is when the laptop was last heard, by an authenticated packet or probe; zero for never or unknown.
	Heard(connection string) time.Time
}

// Tokens checks projected service account tokens with the audience wire.Audience.
type Tokens interface {
	// Review returns whose token it is. Its errors are for people: an error that wraps ErrToken says that the token is
	// not valid, others that it could not be checked.
	Review(ctx context.Context, token string) (Identity, error)
}

// Identity is the pod that a token belongs to.
type Identity struct {
	PodUID             types.UID
	Namespace, PodName string
}
