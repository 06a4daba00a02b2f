// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fairlead-dev/fairlead/agent/sidecar/http1"
)

const (
	// maxLoops bounds the event loops. One moves some 80,000 requests a second, and two cost more than one where there is
	// little to do: fewer requests come at once.
	maxLoops  = 4
	maxEvents = 128
	arenaSize = 4 * largeBuffer // bytes that are read before they are written
)

// loop is an event loop over the sockets of steady connections. In each turn it reads from all that have something, and then
// writes everything at once (see batch): the other programs on the machine, which wake up from it, find more to do at once.
type loop struct {
	epoll, wake int

	mu    sync.Mutex
	slots []*steady // by the events' slot; slot 0 is wake
	free  []int
	news  []*steady // to be looked at: they are new, or asked for

	// Of run alone.
	events   []unix.EpollEvent
	ready    []ready // of this turn
	again    []ready // of the next turn, without an event
	leaving  []*steady
	arena    []byte
	used     int
	sends    []send
	batch    *batch
	head     http1.Request
	decision decision
}

// ready is a side of a connection from which something may be read.
type ready struct {
	f    *steady
	side int
	kept bool // what the buffer holds has not been looked at
	more bool // there is surely more to read than one read returns
}

// send is bytes for a side of a connection.
type send struct {
	f        *steady
	side     int
	b        []byte
	complete int // answers that end with them
	sent     int // bytes, or an error number below zero
}

// loops are the process's event loops, as there is one poller of the Go runtime: none where they can't be had.
var loops = sync.OnceValue(func() (list []*loop) {
	for range max(1, min(runtime.GOMAXPROCS(0)/2, maxLoops)) {
		if l, err := newLoop(); err == nil {
			list = append(list, l)
		}
	}
	return list
})

// leastLoop is the loop with the fewest connections, or nil.
func leastLoop() (least *loop) {
	fewest := 0
	for _, l := range loops() {
		l.mu.Lock()
		n := len(l.slots) - len(l.free)
		l.mu.Unlock()
		if least == nil || n < fewest {
			least, fewest = l, n
		}
	}
	return least
}

func newLoop() (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create an epoll instance: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("create an eventfd: %w", err)
	}
	l := &loop{epoll: epoll, wake: wake, slots: []*steady{nil}, events: make([]unix.EpollEvent, maxEvents), arena: make([]byte, arenaSize),
		batch: newBatch()}
	err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN})
	if err == nil {
		err = unix.SetNonblock(epoll, true)
	}
	if err != nil {
		_ = unix.Close(wake)
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("prepare an epoll instance: %w", err)
	}
	// The loop waits as goroutines do, in the poller of the Go runtime, which can wait for an epoll instance, too: a thread of
	// its own would cost more.
	waiter, err := os.NewFile(uintptr(epoll), "epoll").SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("wait for an epoll instance: %w", err)
	}
	go func() {
		_ = waiter.Read(func(uintptr) bool {
			for l.turn() {
			}
			return false
		})
	}()
	return l, nil
}

// add has the loop serve a connection.
func (l *loop) add(f *steady) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.free); n > 0 {
		f.slot, l.free = l.free[n-1], l.free[:n-1]
	} else {
		f.slot = len(l.slots)
		l.slots = append(l.slots, nil)
	}
	l.slots[f.slot] = f
	for side, fd := range f.fds {
		// The event says which slot and side it is of.
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(f.slot), Pad: int32(side)}
		if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil { // such as the limit of watches
			f.going = true
		}
	}
	l.look(f)
}

// ask asks the loop to give a connection back.
func (l *loop) ask(f *steady) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.asked = true
	l.look(f)
}

// look has the loop look at a connection. l.mu is held.
func (l *loop) look(f *steady) {
	l.news = append(l.news, f)
	_, _ = unix.Write(l.wake, binary.NativeEndian.AppendUint64(nil, 1))
}

// turn does what there is to do at once. It reports whether there was anything.
func (l *loop) turn() bool {
	n := wait(l.epoll, l.events)
	if n == 0 && len(l.again) == 0 {
		return false
	}
	l.ready = append(l.ready[:0], l.again...)
	l.again = l.again[:0]
	l.mu.Lock()
	for i := range l.events[:n] {
		e := &l.events[i]
		if e.Fd != 0 {
			l.ready = append(l.ready, ready{f: l.slots[e.Fd], side: int(e.Pad), more: e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0})
			continue
		}
		var count [8]byte
		_, _ = unix.Read(l.wake, count[:])
		for _, f := range l.news {
			if f.slot == 0 || l.slots[f.slot] != f {
				continue // it comes, or has gone
			}
			if f.asked || f.going {
				f.going = false
				l.leave(f)
			} else {
				l.ready = append(l.ready, ready{f: f, side: callerSide, kept: true})
			}
		}
		l.news = l.news[:0]
	}
	l.mu.Unlock()
	for _, r := range l.ready {
		if !r.f.going {
			l.serve(r)
		}
	}
	l.flush()
	l.release()
	clear(l.ready)
	return true
}

// leave notes that a connection is to be given back at the end of the turn.
func (l *loop) leave(f *steady) {
	if !f.going {
		f.going = true
		l.leaving = append(l.leaving, f)
	}
}

// serve reads from a side and notes what the other is to be sent.
func (l *loop) serve(r ready) {
	f := r.f
	defer func() {
		if mistake := recover(); mistake != nil { // it costs one connection, as elsewhere
			f.caller.proxy.logger.Error("serve a connection", "client", f.caller.client, "panic", mistake, "stack", string(debug.Stack()))
			f.err = fmt.Errorf("panic: %v", mistake)
			l.leave(f)
		}
	}()
	if len(l.arena)-l.used < largeBuffer || len(l.sends) == maxEvents || f.queued[1-r.side] {
		if l.flush(); f.going {
			return
		}
	}
	in := &f.caller.in
	if r.side == appSide {
		in = &f.app.in
	}
	b := l.arena[l.used : l.used+largeBuffer]
	size := copy(b, in.bytes())
	switch {
	case r.kept:
	case size == len(b): // first what is there
		l.again = append(l.again, r)
	default:
		n, errno := read(f.fds[r.side], b[size:])
		switch {
		case errno == unix.EAGAIN:
			return
		case errno == unix.EINTR:
			l.again = append(l.again, r)
			return
		case errno != 0:
			f.err = errno
			l.leave(f)
			return
		case n == 0: // the end; whoever reads next gets it once more
			l.leave(f)
			return
		}
		size += n
		if r.more || size == len(b) {
			l.again = append(l.again, r)
		}
	}
	in.free()
	b = b[:size]
	out := send{f: f, side: 1 - r.side}
	var n int
	var leave bool
	if r.side == callerSide {
		n, leave = f.requests(b, &l.head, &l.decision)
	} else {
		n, out.complete, leave = f.answers(b)
	}
	if n > 0 {
		out.b, f.queued[out.side] = b[:n], true
		l.used += n
		l.sends = append(l.sends, out)
	}
	if rest := b[n:]; len(rest) > 0 {
		in.room(len(rest) >= smallBuffer)
		in.w = copy(in.b, rest)
	}
	if leave || len(b)-n == largeBuffer {
		l.leave(f)
	}
}

// flush writes what is to be sent.
func (l *loop) flush() {
	l.batch.write(l.sends)
	for _, s := range l.sends {
		f := s.f
		f.queued[s.side] = false
		switch errno := unix.Errno(-s.sent); {
		case s.sent == len(s.b):
			if s.complete > 0 {
				f.app.answered(s.complete)
			}
			continue
		case s.sent >= 0:
		case errno == unix.EAGAIN || errno == unix.EINTR || s.side == appSide: // the app may still answer
			s.sent = 0
		default:
			f.err = errno
		}
		f.unsent[s.side] = bytes.Clone(s.b[s.sent:])
		f.owed = max(f.owed, s.complete)
		l.leave(f)
	}
	clear(l.sends)
	l.sends, l.used = l.sends[:0], 0
}

// release gives back what is leaving.
func (l *loop) release() {
	if len(l.leaving) == 0 {
		return
	}
	l.mu.Lock()
	for _, f := range l.leaving {
		for _, fd := range f.fds {
			_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, fd, nil)
		}
		l.slots[f.slot] = nil
		l.free = append(l.free, f.slot)
		f.slot = 0
	}
	l.mu.Unlock()
	keep := l.again[:0]
	for _, r := range l.again {
		if !r.f.going {
			keep = append(keep, r)
		}
	}
	clear(l.again[len(keep):])
	l.again = keep
	for _, f := range l.leaving {
		close(f.left)
	}
	clear(l.leaving)
	l.leaving = l.leaving[:0]
}

// The calls below never wait, so the Go runtime need not hear of them: that is what unix.Read and its like cost most for.

func wait(epoll int, events []unix.EpollEvent) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

func read(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// write returns the error number, below zero, instead of the bytes written.
func write(fd int, b []byte) int {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return -int(errno)
	}
	return int(n)
}

// detach takes the sockets out of connections, which are closed; the sockets are not.
func detach(conns ...*net.TCPConn) (fds [2]int, err error) {
	for i, conn := range conns {
		raw, failed := conn.SyscallConn()
		if failed == nil {
			if err := raw.Control(func(fd uintptr) { fds[i], failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
				failed = err
			}
		}
		if failed != nil {
			for _, fd := range fds[:i] {
				_ = unix.Close(fd)
			}
			return fds, failed
		}
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	return fds, nil
}

// attach makes a connection of a socket. After an error the socket is closed.
func attach(fd int) (*net.TCPConn, error) {
	file := os.NewFile(uintptr(fd), "")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}
