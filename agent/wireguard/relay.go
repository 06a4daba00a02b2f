// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"bufio"
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
	// maxStreams bounds the relay streams at a time. Whoever may open a port-forward to the pod may open one.
	maxStreams = 1024
	// helloTimeout is how long a stream may take to greet.
	helloTimeout = 10 * time.Second
	// streamSilence ends a stream on which nothing has been heard for so long: the laptop probes twice a second while
	// it has one open, also when it uses UDP.
	streamSilence = 60 * time.Second
	// writeTimeout ends a stream that takes nothing for so long: the laptop gives up on it sooner.
	writeTimeout = 15 * time.Second

	// relayQueue is how much may wait for a stream in bytes before its peer's sending is held back; the queue is short,
	// because a stream that is a bottleneck delays everything that waits in front of it.
	relayQueue = 256 << 10
	// relayQueueHard is where datagrams are dropped: what was on its way when sending was held back still fits.
	relayQueueHard = 8 << 20
	// readBuffer is how much is read from a stream at a time, in bytes.
	readBuffer = 128 << 10
)

// stream is one relay stream.
type stream struct {
	id       uint64
	conn     net.Conn
	endpoint *relayEndpoint
	way      Way

	mu     sync.Mutex
	wake   sync.Cond
	queue  frameQueue // to be written
	closed bool
}

func newStream(id uint64, conn net.Conn) *stream {
	s := &stream{id: id, conn: conn}
	s.endpoint = &relayEndpoint{stream: s}
	s.way = Way{Carrier: Relay, stream: s}
	s.wake.L = &s.mu
	return s
}

// send queues datagrams. It never waits; beyond relayQueueHard it drops.
func (s *stream) send(datagrams [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	for _, d := range datagrams {
		if s.queue.size+len(d) <= relayQueueHard {
			s.queue.push(d)
		}
	}
	s.wake.Signal()
	return nil
}

// full reports whether sending to the stream should be held back.
func (s *stream) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.size >= relayQueue && !s.closed
}

// write writes queued frames until the stream fails or closes. drained is called whenever a full queue has been
// taken over for writing.
func (s *stream) write(drained func()) error {
	var writing frameQueue
	var slices [][]byte
	for {
		s.mu.Lock()
		for s.queue.size == 0 && !s.closed {
			s.wake.Wait()
		}
		if s.closed {
			s.mu.Unlock()
			return net.ErrClosed
		}
		wasFull := s.queue.size >= relayQueue
		writing, s.queue = s.queue, writing
		s.mu.Unlock()

		slices = writing.appendTo(slices[:0])
		buffers := net.Buffers(slices) // WriteTo eats it: slices keeps the memory
		err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err == nil {
			_, err = buffers.WriteTo(s.conn)
		}
		writing.release()
		if err != nil {
			return fmt.Errorf("write relay stream: %w", err)
		}
		if wasFull {
			drained()
		}
	}
}

// close ends the stream.
func (s *stream) close() {
	s.mu.Lock()
	s.closed = true
	s.queue.release()
	s.mu.Unlock()
	s.wake.Broadcast()
	_ = s.conn.Close()
}

// ServeRelay accepts relay streams until ctx ends or the listener fails. It closes the listener.
func (b *Bind) ServeRelay(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	defer listener.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() { // for example no descriptors left
				b.log.Warn("accept relay stream", "error", err)
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
				continue
			}
			return fmt.Errorf("accept relay stream: %w", err)
		}
		wg.Go(func() {
			if err := b.ServeStream(ctx, conn); err != nil {
				b.log.Debug("relay stream ended", "error", err)
			}
		})
	}
}

// ServeStream carries datagrams over one relay stream until it ends. It closes conn.
func (b *Bind) ServeStream(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	tuneRelay(conn)
	if err := greet(conn); err != nil {
		return err
	}
	s, err := b.addStream(sockets.Unwatched(conn))
	if err != nil {
		return err
	}
	defer b.removeStream(s)
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	written := make(chan error, 1)
	go func() {
		written <- s.write(func() { b.drained() })
		s.close()
	}()
	err = b.readStream(s)
	s.close()
	return errors.Join(err, ignoreClosed(<-written))
}

// greet exchanges greetings.
func greet(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return fmt.Errorf("set relay deadline: %w", err)
	}
	if err := carrier.ReadHello(conn); err != nil {
		return err
	}
	if _, err := conn.Write(carrier.Hello[:]); err != nil {
		return fmt.Errorf("write relay greeting: %w", err)
	}
	return conn.SetDeadline(time.Time{})
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// readStream takes datagrams from a stream until it ends.
func (b *Bind) readStream(s *stream) error {
	r := bufio.NewReaderSize(&silenceReader{conn: s.conn}, readBuffer)
	for {
		in := b.inbound.get()
		if in == nil {
			return net.ErrClosed
		}
		n, err := in.fill(r)
		if err != nil {
			b.inbound.put(in)
			return ignoreClosed(err)
		}
		datagram := in.buf[:n]
		if carrier.IsProbe(datagram) {
			if reply := b.answerProbe(datagram, Relay, s.endpoint); reply != nil {
				_ = s.send([][]byte{reply}) // a stream that has ended is noticed by reading
			}
			b.inbound.put(in)
			continue
		}
		in.size, in.endpoint = n, s.endpoint
		b.inbound.deliver(in)
	}
}

// silenceReader fails when nothing has come for streamSilence.
type silenceReader struct {
	conn net.Conn
	next time.Time // when the deadline is to be moved again
}

func (r *silenceReader) Read(p []byte) (int, error) {
	if now := time.Now(); now.After(r.next) {
		if err := r.conn.SetReadDeadline(now.Add(streamSilence)); err != nil {
			return 0, fmt.Errorf("set relay deadline: %w", err)
		}
		r.next = now.Add(streamSilence / 10)
	}
	return r.conn.Read(p)
}
