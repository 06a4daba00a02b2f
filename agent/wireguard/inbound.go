// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"io"
	"net"
	"sync"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

// inboundQueue is how many datagrams from relay streams may wait for WireGuard. When it is full, streams wait, and TCP
// slows the laptops down.
const inboundQueue = 256

// datagram is one that came over a relay stream.
type datagram struct {
	buf      []byte
	size     int
	endpoint *relayEndpoint
}

// fill reads the next frame.
func (d *datagram) fill(r io.Reader) (int, error) { return carrier.ReadDatagram(r, d.buf) }

// inbound hands datagrams from the readers of all relay streams to WireGuard's one receive function. It lives through
// Close and Open of the Bind: what arrives in between waits.
type inbound struct {
	pool sync.Pool
	c    chan *datagram

	mu     sync.Mutex
	closed chan struct{} // closed while the Bind is
	ended  chan struct{} // closed for good
}

func newInbound() *inbound {
	return &inbound{
		pool:   sync.Pool{New: func() any { return &datagram{buf: make([]byte, carrier.MaxDatagram)} }},
		c:      make(chan *datagram, inboundQueue),
		closed: make(chan struct{}),
		ended:  make(chan struct{}),
	}
}

// get returns an empty datagram, or nil when all is over.
func (q *inbound) get() *datagram {
	select {
	case <-q.ended:
		return nil
	default:
		return q.pool.Get().(*datagram)
	}
}

func (q *inbound) put(d *datagram) {
	d.endpoint = nil
	q.pool.Put(d)
}

// deliver waits until WireGuard takes the datagram.
func (q *inbound) deliver(d *datagram) {
	select {
	case q.c <- d:
	case <-q.ended:
		q.put(d)
	}
}

// open returns the function that WireGuard receives with until the next close.
func (q *inbound) open() conn.ReceiveFunc {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = make(chan struct{})
	closed := q.closed
	return func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		select {
		case <-closed: // never hand a datagram to a device that is on its way down
			return 0, net.ErrClosed
		default:
		}
		select {
		case <-closed:
			return 0, net.ErrClosed
		case d := <-q.c:
			n := 0
			for {
				sizes[n], eps[n] = copy(packets[n], d.buf[:d.size]), d.endpoint
				q.put(d)
				n++
				if n == len(packets) {
					return n, nil
				}
				select {
				case d = <-q.c:
				default:
					return n, nil
				}
			}
		}
	}
}

func (q *inbound) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.closed:
	default:
		close(q.closed)
	}
}

// end lets everyone go who waits.
func (q *inbound) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.ended:
	default:
		close(q.ended)
	}
}
