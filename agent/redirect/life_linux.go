// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

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

// life is the process's part of the map life, whose memory it shares with the program.
//
// A process that is killed is not gone at once: that its sockets are closed and its attachment released can take 50 ms (the
// kernel first takes its memory apart, and waits for all processors if there is asynchronous input and output, aio(7), in it).
// Until then the kernel would complete connections for it, which nobody will ever serve. But the first thing that the kernel
// does when a thread ends is to give back the locks it holds: it marks those of its list of robust futexes
// (set_robust_list(2)) as their owner's having died. So a thread holds one, in the map: the mark is for the program.
//
// A process that is stopped, or whose callers wait in vain, gives no signs of life.
type life struct {
	memory []byte
	robust *robustList
	stop   chan struct{} // nil while there are no signs
	ended  chan struct{}
}

// robustList is struct robust_list_head of linux/futex.h, and the one entry that it has.
type robustList struct {
	next    *robustEntry
	offset  int // from an entry to its futex
	pending uintptr
	entry   robustEntry
}

// robustEntry is struct robust_list.
type robustEntry struct{ next *robustList }

// robustHeadSize is that of struct robust_list_head.
const robustHeadSize = unsafe.Offsetof(robustList{}.entry)

func newLife(shared *ebpf.Map) (*life, error) {
	memory, err := unix.Mmap(shared.FD(), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	l := &life{memory: memory, robust: new(robustList)}
	l.robust.next, l.robust.entry.next = &l.robust.entry, l.robust
	l.robust.offset = int(uintptr(unsafe.Pointer(&memory[lifeOwner])) - uintptr(unsafe.Pointer(&l.robust.entry)))
	return l, nil
}

// set begins or ends it. When it has begun, a first sign has been given.
func (l *life) set(on bool, listeners []*listener) error {
	if on == (l.stop != nil) {
		return nil
	}
	if !on {
		close(l.stop)
		<-l.ended
		l.stop = nil
		return nil
	}
	begun := make(chan error)
	l.stop, l.ended = make(chan struct{}), make(chan struct{})
	go l.run(begun, l.stop, listeners)
	err := <-begun
	if err != nil {
		l.stop = nil
	}
	return err
}

// close ends it for good.
func (l *life) close() error {
	return errors.Join(l.set(false, nil), unix.Munmap(l.memory))
}

// run is in a thread of its own, the owner.
func (l *life) run(begun chan<- error, stop <-chan struct{}, listeners []*listener) {
	defer close(l.ended)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := errors.Join(l.own(l.robust, unix.Gettid()), l.stamp()); err != nil {
		begun <- err
		return
	}
	begun <- nil
	defer func() { _ = l.own(nil, 0) }()
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

// own makes a thread the owner, which has to be the one that calls.
func (l *life) own(list *robustList, thread int) error {
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&l.memory[lifeOwner])), uint32(thread))
	if _, _, errno := unix.RawSyscall(unix.SYS_SET_ROBUST_LIST, uintptr(unsafe.Pointer(list)), robustHeadSize, 0); errno != 0 {
		return fmt.Errorf("hold a robust futex: %w", errno)
	}
	return nil
}

func (l *life) stamp() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&l.memory[lifeStamp])), uint64(now.Nano()))
	return nil
}
