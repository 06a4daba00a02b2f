// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/agent/netstack"
	"github.com/fairlead-dev/fairlead/agent/wireguard"
)

// MTUs inside the tunnel, in bytes.
const (
	minMTU = 1280  // of IPv6 (RFC 8200, section 5): every path is taken to bear it
	maxMTU = 65456 // fits a UDP datagram of 65,507 bytes with WireGuard's 32, in blocks of 16
	// wireguardOverhead is what WireGuard adds to a packet inside a datagram: header and authentication code.
	wireguardOverhead = 32
	// paddingBlock is what WireGuard fills packets up to a multiple of (WireGuard paper, section 5.4.6).
	paddingBlock = 16
	// narrowTime is how long a path that refused a size is not asked for it again. Kernels forget a path's MTU after
	// ten minutes (ip-sysctl.rst, mtu_expires).
	narrowTime = time.Minute
)

// steps are the MTUs that are tried in turn on a path that turns out to be narrower.
var steps = []int{1424, 1392, 1376, 1312, minMTU}

// member is a laptop, its stack and what is known of the way to it.
type member struct {
	config atomic.Pointer[Peer]
	stack  *netstack.Stack

	deliver  sync.Mutex    // packets come in one batch at a time
	session  atomic.Uint64 // the WireGuard session of its last packet, with knownSession
	gone     atomic.Bool
	stranger atomic.Bool            // it had made no handshake when that was last looked at
	endpoint atomic.Pointer[string] // where WireGuard sent to it then; nil for nowhere yet
	heard    atomic.Int64           // when its last packet or probe came, Unix time in nanoseconds; 0 for never

	udpMTU, relayMTU atomic.Int32 // as the laptop said last
	limit            atomic.Int32 // of the UDP path, as the kernel said; 0 for none
	limitUntil       atomic.Int64 // Unix time in nanoseconds

	queued bool        // guarded by the mux
	held   atomic.Bool // its way is full; set by the mux
}

// knownSession marks a session number as one that has been set.
const knownSession = 1 << 32

func newMember(p Peer) *member {
	m := &member{}
	m.config.Store(&p)
	m.udpMTU.Store(minMTU)
	m.relayMTU.Store(minMTU)
	return m
}

func (m *member) sameAddresses(p Peer) bool {
	own := m.config.Load()
	return slices.Equal(own.Laptop, p.Laptop) && slices.Equal(own.Gateway, p.Gateway)
}

func (m *member) lastHeard() time.Time {
	if heard := m.heard.Load(); heard != 0 {
		return time.Unix(0, heard)
	}
	return time.Time{}
}

// mtu returns how large packets to the laptop may be on a way to it.
func (m *member) mtu(way *wireguard.Way) int {
	if way != nil && way.Carrier == wireguard.Relay {
		return int(m.relayMTU.Load())
	}
	mtu := m.udpMTU.Load()
	if limit := m.limit.Load(); limit > 0 && limit < mtu && time.Now().UnixNano() < m.limitUntil.Load() {
		mtu = limit
	}
	return int(mtu)
}

// setMTU takes over what the laptop says. WireGuard pads what is no multiple of a block, so that it would not fit: a
// little less does.
func (m *member) setMTU(by wireguard.Carrier, mtu int) {
	if mtu < minMTU {
		return // it did not say, or it can't be
	}
	mtu = min(mtu, maxMTU) / paddingBlock * paddingBlock
	if by == wireguard.Relay {
		m.relayMTU.Store(int32(mtu))
	} else {
		m.udpMTU.Store(int32(mtu))
	}
}

// narrow limits the MTU over UDP after a datagram of size bytes did not fit its path.
func (m *member) narrow(size int, now time.Time) {
	inner := size - wireguardOverhead
	limit := minMTU
	for _, step := range steps {
		if step < inner {
			limit = step
			break
		}
	}
	m.limit.Store(int32(limit))
	m.limitUntil.Store(now.Add(narrowTime).UnixNano())
}
