// SPDX-License-Identifier: Apache-2.0

package proxy

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

// errNoSplice says that the kernel can't move bytes between the two, and that none were.
var errNoSplice = errors.New("no splice between these")

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

// moveBytes moves n bytes within the kernel, or, if n is below 0, all that come. It returns io.EOF if from ended before the
// n bytes had come. It is what io.Copy does, but for one thing: the calls, none of which waits, are made without a word to the Go
// runtime, which would give the processor away during each of them and look every 20 µs whether to do so: a tenth of a stream's cost.
func moveBytes(to, from *net.TCPConn, n int64) (moved int64, err error) {
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
		return 0, errNoSplice
	}
	defer func() {
		if p.holds == 0 { // else it is closed with what it holds
			pipes.Put(p)
		}
	}()
	want, got := 0, 0
	var errno syscall.Errno
	fill := func(fd uintptr) bool {
		got, errno = splice(int(fd), p.w, want)
		return errno != unix.EAGAIN
	}
	drain := func(fd uintptr) bool {
		for p.holds > 0 {
			if got, errno = splice(p.r, int(fd), p.holds); errno != 0 {
				return errno != unix.EAGAIN
			}
			p.holds -= got
			moved += int64(got)
		}
		return true
	}
	for n < 0 || moved < n {
		want = pipeSize
		if n >= 0 {
			want = int(min(n-moved, pipeSize))
		}
		if err := source.Read(fill); err != nil {
			return moved, err
		}
		switch {
		case errno == unix.EINVAL && moved == 0:
			return 0, errNoSplice
		case errno != 0:
			return moved, os.NewSyscallError("splice", errno)
		case got == 0 && n < 0:
			return moved, nil
		case got == 0:
			return moved, io.EOF
		}
		p.holds = got
		if err := sink.Write(drain); err != nil {
			return moved, err
		}
		if errno != 0 {
			return moved, os.NewSyscallError("splice", errno)
		}
	}
	return moved, nil
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
