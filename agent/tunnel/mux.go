// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"encoding/binary"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/fairlead-dev/fairlead/agent/netstack"
	"github.com/fairlead-dev/fairlead/agent/wireguard"
)

// quantum is how much one laptop may send before the next gets its turn, in bytes.
const quantum = 64 << 10

// batchBytes is about how much goes into WireGuard at a time in bytes, so that large packets don't overrun their way.
const batchBytes = 256 << 10

// mux is the network interface of the WireGuard device: what comes out of the tunnel goes to the stack of the laptop
// whose address is the source, and what the stacks send goes into the tunnel, laptop by laptop in turn.
type mux struct {
	wayOf  func(session uint32) *wireguard.Way
	events chan tun.Event
	out    *flight // packets on their way to laptops
	in     *flight // packets on their way from laptops

	table atomic.Pointer[table]

	mu      sync.Mutex
	wake    sync.Cond
	queue   []*member // that have packets to send
	held    []*member // that have, but whose way is full
	reading bool      // Read is at work on a member that is in neither
	closed  bool
}

// table tells members apart. It is replaced as a whole.
type table struct {
	byKey     map[Key]*member
	byAddress map[netip.Addr]*member // by addresses of laptops
	own       map[netip.Addr]int     // our addresses in the tunnel
}

func newMux() *mux {
	m := &mux{events: make(chan tun.Event, 1), out: newFlight(), in: newFlight()}
	m.wake.L = &m.mu
	m.table.Store(&table{})
	return m
}

func (m *mux) find(key Key) *member { return m.table.Load().byKey[key] }

// taken reports whether an address is one of a laptop or of ours in the tunnel.
func (m *mux) taken(a netip.Addr) bool {
	t := m.table.Load()
	return t.byAddress[a] != nil || t.own[a] > 0
}

func (m *mux) all() []*member {
	t := m.table.Load()
	members := make([]*member, 0, len(t.byKey))
	for _, member := range t.byKey {
		members = append(members, member)
	}
	return members
}

// add puts a member in, in the place of another one with the same key.
func (m *mux) add(new *member) {
	m.rebuild(func(members map[Key]*member) { members[new.config.Load().PublicKey] = new }, new)
}

func (m *mux) remove(old *member) {
	old.gone.Store(true)
	m.rebuild(func(members map[Key]*member) {
		if key := old.config.Load().PublicKey; members[key] == old {
			delete(members, key)
		}
	}, nil)
}

// rebuild makes a new table. Of several members with one address, preferred has it, or else whoever had it.
func (m *mux) rebuild(change func(map[Key]*member), preferred *member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.table.Load()
	t := &table{byKey: map[Key]*member{}, byAddress: map[netip.Addr]*member{}, own: map[netip.Addr]int{}}
	for key, member := range old.byKey {
		t.byKey[key] = member
	}
	change(t.byKey)
	for _, member := range t.byKey {
		config := member.config.Load()
		for _, a := range config.Laptop {
			if t.byAddress[a] == nil || member == preferred || old.byAddress[a] == member && t.byAddress[a] != preferred {
				t.byAddress[a] = member
			}
		}
		for _, a := range config.Gateway {
			t.own[a]++
		}
	}
	m.table.Store(t)
}

// way returns the way by which a member was last heard, or nil.
func (m *mux) way(member *member) *wireguard.Way {
	session := member.session.Load()
	if session&knownSession == 0 {
		return nil
	}
	return m.wayOf(uint32(session))
}

// received notes packets that go into WireGuard, and waits if there are too many inside.
func (m *mux) received(packets, bytes int) {
	m.in.add(packets, bytes)
	m.in.wait(flightStall)
}

// Write takes packets of one peer out of the tunnel.
func (m *mux) Write(bufs [][]byte, offset int) (int, error) {
	size := 0
	for _, b := range bufs {
		size += len(b) - offset
	}
	defer m.in.done(len(bufs), size)
	if len(bufs) == 0 {
		return 0, nil
	}
	member := m.table.Load().byAddress[netstack.SourceOf(bufs[0][offset:])]
	if member == nil {
		return len(bufs), nil
	}
	member.heard.Store(time.Now().UnixNano())
	// WireGuard decrypts in place: in front of the packet there still is the header of its datagram.
	if last := bufs[len(bufs)-1]; offset >= 16 {
		member.session.Store(uint64(binary.LittleEndian.Uint32(last[4:])) | knownSession)
	}
	if member.held.Load() { // perhaps it has left the way that was full
		m.release()
	}
	member.deliver.Lock()
	defer member.deliver.Unlock()
	member.stack.Deliver(bufs, offset)
	return len(bufs), nil
}

// ready notes that a member has packets to send.
func (m *mux) ready(member *member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.enqueue(member)
}

func (m *mux) enqueue(member *member) {
	if member.queued || member.gone.Load() {
		return
	}
	member.queued = true
	m.queue = append(m.queue, member)
	m.wake.Broadcast()
}

// release has members that were held tried again.
func (m *mux) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.releaseLocked()
}

func (m *mux) releaseLocked() {
	for i, member := range m.held {
		member.queued = false
		member.held.Store(false)
		m.enqueue(member)
		m.held[i] = nil
	}
	m.held = m.held[:0]
}

// next waits for a member whose turn it is. It returns nil when the mux is closed, or at once when it need not wait.
func (m *mux) next(wait bool) *member {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reading = false
	for {
		for len(m.queue) > 0 && !m.closed {
			member := m.queue[0]
			m.queue[0] = nil
			m.queue = m.queue[1:]
			if len(m.queue) == 0 {
				m.queue = nil
			}
			if !m.way(member).Full() {
				member.queued = false
				m.reading = true
				return member
			}
			m.held = append(m.held, member)
			member.held.Store(true)
			if !m.way(member).Full() { // it has drained just now, before it was held
				m.releaseLocked()
			}
		}
		if m.closed || !wait {
			return nil
		}
		m.wake.Broadcast() // for drain
		m.wake.Wait()
	}
}

// Read hands packets to WireGuard, as many as there are up to a batch.
func (m *mux) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	m.out.wait(flightStall)
	n, size := 0, 0
	for n < len(bufs) && size < batchBytes {
		member := m.next(n == 0)
		if member == nil {
			break
		}
		count := member.stack.Collect(bufs[n:], sizes[n:], offset, member.mtu(m.way(member)), quantum)
		for _, s := range sizes[n : n+count] {
			size += s
		}
		n += count
		if member.stack.Pending() {
			m.ready(member)
		}
	}
	if n == 0 {
		return 0, os.ErrClosed
	}
	m.out.add(n, size)
	return n, nil
}

// drain waits until nothing is left to be sent, or until it has taken too long.
func (m *mux) drain(limit time.Duration) {
	timeout := false
	timer := time.AfterFunc(limit, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		timeout = true
		m.wake.Broadcast()
	})
	defer timer.Stop()
	defer m.out.waitEmpty(limit)
	m.mu.Lock()
	defer m.mu.Unlock()
	for (len(m.queue) > 0 || len(m.held) > 0 || m.reading) && !timeout && !m.closed {
		m.wake.Wait()
	}
}

// Close implements tun.Device.
func (m *mux) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		close(m.events)
		m.wake.Broadcast()
	}
	return nil
}

// probed notes that a laptop is there, and the MTU that it uses over a carrier.
func (m *mux) probed(key Key, by wireguard.Carrier, mtu int) {
	if member := m.find(key); member != nil {
		member.heard.Store(time.Now().UnixNano())
		member.setMTU(by, mtu)
	}
}

// tooBig has the laptop behind a UDP address sent smaller packets for a while.
func (m *mux) tooBig(to netip.AddrPort, size int) {
	for _, member := range m.table.Load().byKey {
		if way := m.way(member); way != nil && way.Carrier == wireguard.UDP && way.Address == to {
			member.narrow(size, time.Now())
		}
	}
}

// File, and what follows, is what WireGuard asks of a network interface.
func (m *mux) File() *os.File           { return nil }
func (m *mux) MTU() (int, error)        { return maxMTU, nil }
func (m *mux) Name() (string, error)    { return "fairlead", nil }
func (m *mux) Events() <-chan tun.Event { return m.events }
func (m *mux) BatchSize() int           { return conn.IdealBatchSize }

var _ tun.Device = (*mux)(nil)
