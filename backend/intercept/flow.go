// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/carrier/sockets"
	"github.com/fairlead-dev/fairlead/backend/traffic"
)

// carry copies both ways until both have ended. The end of one direction is passed on as such; anything else that ends a
// connection resets the other.
func carry(gateway, local net.Conn, seen *traffic.Observer) {
	keepAliveOn(local)
	done := make(chan bool, 2)
	go func() { done <- pass(local, gateway, inward(seen)) }()
	go func() {
		orderly := pass(gateway, local, outward(seen))
		seen.OutEnd()
		done <- orderly
	}()
	orderly := true
	for range 2 {
		if !<-done {
			orderly = false
			reset(gateway)
			reset(local)
		}
	}
	seen.End(orderly)
}

// watched is how the bytes of one direction are looked at as they pass.
type watched struct {
	see    func([]byte)
	unread func() int64 // how many bytes that come next nobody needs to see
	passed func(int64)
}

func inward(o *traffic.Observer) watched  { return watched{o.In, o.InUnread, o.InPassed} }
func outward(o *traffic.Observer) watched { return watched{o.Out, o.OutUnread, o.OutPassed} }

const (
	// smallRead is the memory that a direction has while little comes, in bytes; largeRead while much does.
	smallRead = 4 << 10
	largeRead = 64 << 10
	// spliceFrom is from how many bytes on what nobody needs to see is passed on inside the kernel where it can: for less,
	// that costs more than it saves.
	spliceFrom = 64 << 10
)

var largeBuffers = sync.Pool{New: func() any { return new([largeRead]byte) }}

// pass copies one direction, and its end. It reports whether the end was an orderly one.
func pass(to, from net.Conn, w watched) bool {
	var small [smallRead]byte
	buffer := small[:]
	var large *[largeRead]byte
	giveBack := func() {
		if large != nil {
			largeBuffers.Put(large)
			large, buffer = nil, small[:]
		}
	}
	defer giveBack()
	for {
		if unread := w.unread(); unread >= spliceFrom {
			giveBack()
			n, err := move(to, from, unread)
			w.passed(n)
			if err != nil && err != io.EOF {
				return false
			}
			if n < unread {
				return passEnd(to)
			}
			continue
		}
		n, err := from.Read(buffer)
		if n > 0 {
			w.see(buffer[:n])
			if _, err := to.Write(buffer[:n]); err != nil {
				return false
			}
		}
		switch {
		case err == io.EOF:
			return passEnd(to)
		case err != nil:
			return false
		case n == len(buffer) && large == nil:
			large, _ = largeBuffers.Get().(*[largeRead]byte)
			buffer = large[:]
		case n < smallRead:
			giveBack()
		}
	}
}

// move moves n bytes, within the kernel where it can. It returns io.EOF if there were less.
func move(to, from net.Conn, n int64) (moved int64, err error) {
	toTCP, ok1 := to.(*net.TCPConn)
	fromTCP, ok2 := from.(*net.TCPConn)
	if ok1 && ok2 {
		if moved, err = sockets.MoveBytes(toTCP, fromTCP, n); !errors.Is(err, sockets.ErrNoSplice) {
			return moved, err
		}
	}
	return io.CopyN(to, from, n)
}

func passEnd(to net.Conn) bool {
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite() == nil
	}
	return true
}

// carryCopy gives the program a copy of what a caller sends, and throws away what it answers.
func carryCopy(gateway, local net.Conn, seen *traffic.Observer) {
	keepAliveOn(local)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _ = io.Copy(writerFunc(func(p []byte) (int, error) {
			seen.Out(p)
			return len(p), nil
		}), local)
		seen.OutEnd()
	}()
	orderly := pass(local, gateway, inward(seen))
	if orderly {
		_ = local.SetReadDeadline(time.Now().Add(mirrorLinger))
	} else {
		reset(local)
	}
	<-answered
	seen.End(orderly)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// mirrorLinger is how long a program may go on answering a copied request that has ended.
const mirrorLinger = 30 * time.Second

// reset ends a connection so that the other end notices that it did not end in order.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func keepAliveOn(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(keepAlive)
	}
}
