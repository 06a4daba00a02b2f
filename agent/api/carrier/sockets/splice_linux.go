// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// pipeSize is how much a pipe holds, in bytes: what an unprivileged user may have by default (fs.pipe-max-size in proc(5)).
const pipeSize = 1 << 20

// ErrNoSplice says that the kernel can't move bytes between the two, and that none were.
var ErrNoSplice = errors.New("no splice between these")

// pipe is where bytes are on their way from a socket to another.
type pipe struct {
	r, w  int
	holds int // bytes
}

// pipes are empty ones.
var pipes = sync.Pool{New: func() any { return newPipe() }}

// newPipe returns nil where there is none to be had, such as with too many open files.
func newPipe() *pipe {
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return nil
	}
	// A user who has many gets no large ones. Small ones do, too.
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize)
	p := &pipe{r: fds[0], w: fds[1]}
	runtime.AddCleanup(p, func(fds [2]int) {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
	}, fds)
	return p
}

// MoveBytes moves n bytes within the kernel, or, if n is below 0, all that come. It returns io.EOF if from ended before the
// n bytes had come, and ErrNoSplice, before it has moved any, where the kernel can't.
//
// It is what io.Copy does, but for two things. The calls, none of which waits, are made without a word to the Go runtime, which
// would give the processor away during each of them and look every 20 µs whether to do so: a tenth of a stream's cost. And of a
// stream that brings much, a larger part is moved at a time (gather).
//
// One may run for a connection at a time; while it does, it alone reads from it.
func MoveBytes(to, from *net.TCPConn, n int64) (moved int64, err error) {
	source, err := from.SyscallConn()
	if err != nil {
		return 0, err
	}
	sink, err := to.SyscallConn()
	if err != nil {
		return 0, err
	}
	p := pipes.Get().(*pipe)
	if p == nil {
		return 0, ErrNoSplice
	}
	moved, err = moveThrough(p, sink, source, n)
	if p.holds == 0 { // else it is closed with what it holds
		pipes.Put(p)
	}
	return moved, err
}

func moveThrough(p *pipe, sink, source syscall.RawConn, n int64) (moved int64, err error) {
	m := mover{pipe: p, gather: gather{raw: source}}
	defer m.gather.stop()
	for n < 0 || moved < n {
		m.want = pipeSize
		if n >= 0 {
			m.want = int(min(n-moved, pipeSize))
		}
		if m.want < lowWater {
			m.gather.stop()
		}
		if err := source.Read(m.fill); err != nil {
			return moved, err
		}
		filled := p.holds
		switch {
		case m.errno == unix.EINVAL && moved == 0:
			return 0, ErrNoSplice
		case m.errno != 0:
			return moved, os.NewSyscallError("splice", m.errno)
		case filled == 0 && n < 0:
			return moved, nil
		case filled == 0:
			return moved, io.EOF
		}
		err := sink.Write(m.drain)
		moved += int64(filled - p.holds)
		if err != nil {
			return moved, err
		}
		if m.errno != 0 {
			return moved, os.NewSyscallError("splice", m.errno)
		}
	}
	return moved, nil
}

// mover is what MoveBytes is about to do: fill the pipe, and drain it.
type mover struct {
	pipe   *pipe
	gather gather
	want   int           // how much to fill it with at most, in bytes
	errno  syscall.Errno // why it could not be filled, or drained
}

// fill moves what has come from a socket into the empty pipe. It reports false if nothing has.
func (m *mover) fill(fd uintptr) bool {
	m.pipe.holds, m.errno = splice(int(fd), m.pipe.w, m.want)
	m.gather.came(m.pipe.holds)
	return m.errno != unix.EAGAIN
}

// drain moves what the pipe holds into a socket. It reports false if that has no room.
func (m *mover) drain(fd uintptr) bool {
	for m.pipe.holds > 0 {
		var n int
		if n, m.errno = splice(m.pipe.r, int(fd), m.pipe.holds); m.errno != 0 {
			return m.errno != unix.EAGAIN
		}
		m.pipe.holds -= n
	}
	return true
}

// splice never waits. It is asked again where a signal came first.
func splice(from, to, most int) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(most), unix.SPLICE_F_NONBLOCK)
		switch errno {
		case 0:
			return int(n), 0
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
