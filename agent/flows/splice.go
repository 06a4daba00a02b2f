// SPDX-License-Identifier: Apache-2.0

package flows

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/tlsconn"
)

// Buffers of a direction of a flow, in bytes. A flow that moves little has a small one; a large one is taken when the small
// one was filled, and given back when it was not needed. The large one holds what the tunnel sends the laptop as one packet
// (netstack.packetData).
const (
	smallBuffer = 2 << 10
	largeBuffer = 45 * 1344
)

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// flow is a caller's connection on its way from a sidecar to a laptop.
type flow struct {
	sidecar   *tlsconn.Conn
	intercept string
	port      Port
	kind      wire.FlowKind

	timer *time.Timer // ends it, if its rule is suspended or gone; guarded by the Server's mu

	mu      sync.Mutex
	laptop  net.Conn // nil until it is reached
	aborted bool
}

func (f *flow) stopTimer() {
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
}

// setLaptop notes the connection to the laptop, which is closed if the flow was given up meanwhile.
func (f *flow) setLaptop(conn net.Conn) {
	f.mu.Lock()
	f.laptop = conn
	aborted := f.aborted
	f.mu.Unlock()
	if aborted {
		tlsconn.Reset(conn)
	}
}

// abort resets both sides. After an orderly end it does nothing that they notice.
func (f *flow) abort() {
	f.mu.Lock()
	laptop, before := f.laptop, f.aborted
	f.aborted = true
	f.mu.Unlock()
	if before {
		return
	}
	f.sidecar.Reset()
	if laptop != nil {
		tlsconn.Reset(laptop)
	}
}

// carry moves bytes both ways until both directions have ended. The end of one is passed on as such, a reset as a reset.
func (f *flow) carry(counters *counters) {
	var toLaptop error
	var other sync.WaitGroup
	other.Go(func() {
		toLaptop = move(f.laptop, f.sidecar, &counters.toLaptop)
		if toLaptop == nil {
			toLaptop = closeWrite(f.laptop)
		}
		if toLaptop != nil {
			f.abort()
		}
	})
	fromLaptop := move(f.sidecar, f.laptop, &counters.fromLaptop)
	if fromLaptop == nil {
		fromLaptop = f.sidecar.CloseWrite()
	}
	if fromLaptop != nil {
		f.abort()
	}
	other.Wait()
	if toLaptop == nil && fromLaptop == nil {
		_ = f.sidecar.NetConn().Close() // all is said in both directions
		_ = f.laptop.Close()
		f.mu.Lock()
		f.aborted = true
		f.mu.Unlock()
	}
}

// move copies until the source's end, which is no error.
func move(to io.Writer, from io.Reader, moved *atomic.Uint64) error {
	small := make([]byte, smallBuffer)
	buffer := small
	var large *[largeBuffer]byte
	defer func() {
		if large != nil {
			largeBuffers.Put(large)
		}
	}()
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
			moved.Add(uint64(n))
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case large == nil && n == len(small):
			large = largeBuffers.Get().(*[largeBuffer]byte)
			buffer = large[:]
		case large != nil && n < len(small):
			largeBuffers.Put(large)
			large, buffer = nil, small
		}
	}
}

func closeWrite(conn net.Conn) error {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("the connection can't be closed one way")
	}
	return half.CloseWrite()
}
