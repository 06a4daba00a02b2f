// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/fairlead-dev/fairlead/agent/api/carrier/sockets"
)

// pumpBuffer is how much is moved at a time, in bytes. Connections hold such a buffer only while they move data, so
// that thousands of idle ones cost none.
const pumpBuffer = 64 << 10

var pumpBuffers = sync.Pool{New: func() any { return new([pumpBuffer]byte) }}

// tcpFlow is one TCP connection of the laptop, joined to one of ours.
type tcpFlow struct {
	flows     *tcpFlows
	ep        tcpip.Endpoint // the laptop's side
	wq        *waiter.Queue
	conn      net.Conn  // the cluster's side
	sink      io.Writer // conn
	aborted   atomic.Bool
	answered  chan struct{} // closed when the target has said all, before the laptop is told
	sendShare int64
}

// run moves data both ways until both have ended. An end of one direction is passed on as such (half-close), a reset
// as a reset.
func (f *tcpFlow) run() {
	setTCPOptions(f.ep)
	f.sink = sockets.Unwatched(f.conn)
	var wg sync.WaitGroup
	f.answered = make(chan struct{})
	wg.Go(f.toTarget)
	if f.toLaptop() == nil {
		close(f.answered)
		_ = f.ep.Shutdown(tcpip.ShutdownWrite) // fails only when the connection is gone already
	} else {
		f.abort()
		close(f.answered)
	}
	wg.Wait()
	f.ep.Close()
	_ = f.conn.Close()
	f.flows.remove(f)
}

// abort resets both sides.
func (f *tcpFlow) abort() {
	if f.aborted.Swap(true) {
		return
	}
	f.ep.Abort()
	reset(f.conn)
}

// reset closes a connection with a RST where it is TCP.
func reset(conn net.Conn) {
	if tcpConn, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		_ = tcpConn.SetLinger(0)
	}
	_ = conn.Close()
}

// toTarget moves the laptop's data to the target.
func (f *tcpFlow) toTarget() {
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	f.wq.EventRegister(&entry)
	defer f.wq.EventUnregister(&entry)
	for {
		err := f.moveToTarget()
		switch {
		case err == nil:
		case errors.Is(err, errWait):
			<-ready
		case errors.Is(err, io.EOF):
			closeWrite(f.conn)
			f.watch(ready)
			return
		default:
			f.abort()
			return
		}
	}
}

// watch waits for the end of the other direction, and ends it if the laptop is lost meanwhile: nobody reads from it any
// more who would notice.
func (f *tcpFlow) watch(ready <-chan struct{}) {
	for {
		select {
		case <-f.answered:
			return
		case <-ready:
		}
		if f.ep.Readiness(waiter.EventHUp|waiter.EventErr)&(waiter.EventHUp|waiter.EventErr) == 0 {
			continue
		}
		select {
		case <-f.answered: // the connection has ended as it should
		default:
			f.abort()
		}
		return
	}
}

// errWait says that nothing can be done before the laptop's side is ready again.
var errWait = errors.New("would block")

// moveToTarget moves what has arrived, up to a buffer. It returns io.EOF at the end of the laptop's data.
func (f *tcpFlow) moveToTarget() error {
	if f.ep.Readiness(waiter.ReadableEvents|waiter.EventHUp|waiter.EventErr) == 0 {
		return errWait
	}
	array := pumpBuffers.Get().(*[pumpBuffer]byte)
	defer pumpBuffers.Put(array)
	w := tcpip.SliceWriter(array[:])
	result, err := f.ep.Read(&w, tcpip.ReadOptions{})
	switch err.(type) {
	case nil:
	case *tcpip.ErrWouldBlock:
		return errWait
	case *tcpip.ErrClosedForReceive:
		return io.EOF
	default:
		return errors.New(err.String())
	}
	f.ep.ModerateRecvBuf(result.Count) // lets the window grow with what the target takes
	_, writeErr := f.sink.Write(array[:result.Count])
	return writeErr
}

// toLaptop moves the target's data to the laptop, until they end or something fails.
func (f *tcpFlow) toLaptop() error {
	entry, ready := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventHUp | waiter.EventErr)
	f.wq.EventRegister(&entry)
	defer f.wq.EventUnregister(&entry)
	source := newSource(f.conn)
	for {
		f.adjustSendBuffer()
		n, array, err := source.read(packetData)
		if n > 0 {
			if writeErr := f.writeAll(array[:n], ready); writeErr != nil {
				err = writeErr
			}
		}
		if array != nil {
			pumpBuffers.Put(array)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// writeAll queues data for the laptop, waiting for room. It fails when the connection is gone.
func (f *tcpFlow) writeAll(data []byte, ready <-chan struct{}) error {
	for len(data) > 0 {
		n, err := f.ep.Write(bytes.NewReader(data), tcpip.WriteOptions{})
		switch err.(type) {
		case nil:
			data = data[n:]
		case *tcpip.ErrWouldBlock:
			<-ready
		default:
			return errors.New(err.String())
		}
	}
	return nil
}

// adjustSendBuffer follows the share that a connection has, when it has changed by much.
func (f *tcpFlow) adjustSendBuffer() {
	share := f.flows.sendShare()
	if share > 2*f.sendShare || 2*share < f.sendShare {
		f.sendShare = share
		f.ep.SocketOptions().SetSendBufferSize(share, true)
	}
}

func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // fails only when the connection is gone already
		return
	}
	_ = conn.Close()
}
