// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// stampInterval is a good part less than staleAfter, so that a sign of life may be late.
const stampInterval = 250 * time.Millisecond

// listener counts the connections that are accepted.
type listener struct {
	*net.TCPListener
	accepted atomic.Uint64
}

// Accept returns a *net.TCPConn.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.TCPListener.Accept()
	l.accepted.Add(1)
	return conn, err
}

// waiting is how many connections wait to be accepted: for a listening socket, that is what the kernel calls unacknowledged
// (Linux, net/ipv4/tcp.c, tcp_get_info).
func (l *listener) waiting() uint32 {
	raw, err := l.SyscallConn()
	if err != nil {
		return 0
	}
	var info *unix.TCPInfo
	var failed error
	if err := raw.Control(func(descriptor uintptr) {
		info, failed = unix.GetsockoptTCPInfo(int(descriptor), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); err != nil || failed != nil {
		return 0
	}
	return info.Unacked
}

// life gives the signs of life, while anything is redirected.
type life struct {
	stamps *ebpf.Map
	stop   chan struct{} // nil while there are none
}

func newLife(stamps *ebpf.Map) *life { return &life{stamps: stamps} }

// set begins or ends it. When it has begun, a first sign has been given.
func (l *life) set(on bool, listeners []*listener) error {
	if on == (l.stop != nil) {
		return nil
	}
	if !on {
		close(l.stop)
		l.stop = nil
		return nil
	}
	if err := l.stamp(); err != nil {
		return err
	}
	l.stop = make(chan struct{})
	go l.run(l.stop, listeners)
	return nil
}

func (l *life) run(stop <-chan struct{}, listeners []*listener) {
	ticker := time.NewTicker(stampInterval)
	defer ticker.Stop()
	accepted := make([]uint64, len(listeners)) // at the last look
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		stuck := false // connections wait, and none has been accepted since the last look
		for i, listener := range listeners {
			before := accepted[i]
			accepted[i] = listener.accepted.Load()
			stuck = stuck || accepted[i] == before && listener.waiting() > 0
		}
		if !stuck {
			_ = l.stamp() // without one, callers reach the app
		}
	}
}

func (l *life) stamp() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	if err := l.stamps.Put(uint32(0), uint64(now.Nano())); err != nil {
		return fmt.Errorf("give a sign of life: %w", err)
	}
	return nil
}
