// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
	"github.com/fairlead-dev/fairlead/agent/api/carrier/sockets"
)

const (
	// greetingTimeout is how long the gateway may take to greet on a new relay stream.
	greetingTimeout = 10 * time.Second
	// relayChunk is how much is read from the stream at once, in bytes, and relayChunks how often ahead of WireGuard.
	relayChunk  = 128 << 10
	relayChunks = 3
)

// errRelayReplaced says that another stream took over. errRelayClosed says that the tunnel is gone.
var (
	errRelayReplaced = errors.New("another relay stream took over")
	errRelayClosed   = errors.New("the tunnel is closed")
)

// relay is the relay carrier: at most one stream at a time, which outlives WireGuard closing and opening its sockets.
type relay struct {
	mu      sync.Mutex
	stream  *relayStream
	changed chan struct{} // closed when stream is another
	closed  bool
}

func newRelay() *relay { return &relay{changed: make(chan struct{})} }

// get returns the current stream, nil if there is none, and a channel that is closed when that changes.
func (r *relay) get() (*relayStream, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stream, r.changed
}

// set makes stream the current one. The one before ends.
func (r *relay) set(stream *relayStream) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errRelayClosed
	}
	r.swap(stream, errRelayReplaced)
	return nil
}

// unset removes stream if it is the current one, and reports whether it was.
func (r *relay) unset(stream *relayStream) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stream != stream {
		return false
	}
	r.swap(nil, nil)
	return true
}

// close ends the current stream and refuses others.
func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.swap(nil, errRelayClosed)
}

// swap exchanges the stream; the one before ends with why. The caller holds mu.
func (r *relay) swap(stream *relayStream, why error) {
	if before := r.stream; before != nil && why != nil {
		before.end(why)
	}
	r.stream = stream
	close(r.changed)
	r.changed = make(chan struct{})
}

// receive returns datagrams of the current stream, waiting for a stream or a datagram if need be. It returns
// net.ErrClosed once stop is closed, between two datagrams and never in the middle of one. Only one call at a time.
func (r *relay) receive(stop <-chan struct{}, bufs [][]byte, sizes []int) (int, error) {
	for {
		stream, changed := r.get()
		if stream == nil || stream.ended() {
			select {
			case <-changed:
				continue
			case <-stop:
				return 0, net.ErrClosed
			}
		}
		n, err := stream.take(bufs, sizes)
		if err != nil {
			stream.end(err)
			continue
		}
		if n > 0 {
			return n, nil
		}
		select {
		case stream.whole = <-stream.chunks:
			stream.rest = stream.whole
		case <-stream.done:
		case <-changed:
		case <-stop:
			return 0, net.ErrClosed
		}
	}
}

// send queues datagrams on the current stream; without one they are lost, as on any network.
func (r *relay) send(datagrams [][]byte) error {
	stream, _ := r.get()
	if stream == nil {
		return errNoRelay
	}
	return stream.out.push(datagrams)
}

// sendFirst queues one datagram before all others.
func (r *relay) sendFirst(datagram []byte) error {
	stream, _ := r.get()
	if stream == nil {
		return errNoRelay
	}
	return stream.out.pushFirst(datagram)
}

// errNoRelay says that there is no relay stream at the moment.
var errNoRelay = errors.New("no relay stream is open")

// relayStream is one byte stream to the gateway's relay port.
type relayStream struct {
	conn net.Conn
	out  *sendQueue

	chunks chan []byte // read and not taken apart yet
	free   chan []byte // to read into

	endOnce sync.Once
	done    chan struct{} // closed by end
	why     error         // set before done is closed

	// Of the one receiver:
	whole, rest []byte // the chunk being taken apart, and what is left of it
	deframe     deframer
}

// greet exchanges greetings on a new stream and returns it ready for use. It does not close conn.
func greet(ctx context.Context, conn net.Conn) (*relayStream, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(greetingTimeout)); err != nil {
		return nil, fmt.Errorf("set deadline for relay greeting: %w", err)
	}
	if _, err := conn.Write(carrier.Hello[:]); err != nil {
		return nil, fmt.Errorf("send relay greeting: %w", err)
	}
	if err := carrier.ReadHello(conn); err != nil {
		return nil, err
	}
	if !stop() {
		return nil, ctx.Err()
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("clear deadline of relay greeting: %w", err)
	}
	s := &relayStream{
		conn: sockets.Unwatched(conn), out: newSendQueue(), done: make(chan struct{}),
		chunks: make(chan []byte, relayChunks), free: make(chan []byte, relayChunks),
	}
	for range relayChunks {
		s.free <- make([]byte, relayChunk)
	}
	return s, nil
}

// end closes the stream; the first reason given counts.
func (s *relayStream) end(why error) {
	s.endOnce.Do(func() {
		s.why = why
		_ = s.conn.Close() // the reason is known already
		s.out.close()
		close(s.done)
	})
}

// ended reports whether end was called.
func (s *relayStream) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// run reads and writes until the stream ends, and returns why it did.
func (s *relayStream) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.end(context.Cause(ctx)) })
	defer stop()
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.end(s.out.drain(s.conn))
	}()
	s.end(s.read())
	<-written
	return s.why
}

// read hands on what comes until the stream ends.
func (s *relayStream) read() error {
	for {
		var buffer []byte
		select {
		case buffer = <-s.free:
		case <-s.done:
			return s.why
		}
		n, err := s.conn.Read(buffer[:cap(buffer)])
		if n > 0 {
			s.chunks <- buffer[:n] // has room for every buffer there is
		} else {
			s.free <- buffer
		}
		if err != nil {
			return fmt.Errorf("read relay stream: %w", err)
		}
	}
}

// take takes datagrams out of the chunk at hand; none when it has no whole one. A chunk that is used up is read into
// again.
func (s *relayStream) take(bufs [][]byte, sizes []int) (int, error) {
	n := 0
	for n < len(bufs) && len(s.rest) > 0 {
		size, rest, err := s.deframe.next(s.rest, bufs[n])
		if err != nil {
			return 0, err
		}
		s.rest = rest
		if size > 0 {
			sizes[n] = size
			n++
		}
	}
	if len(s.rest) == 0 && s.whole != nil {
		s.free <- s.whole
		s.whole, s.rest = nil, nil
	}
	return n, nil
}
