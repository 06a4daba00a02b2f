// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// batch writes to many sockets by one system call, with what Linux has for asynchronous files (io_submit(2)). On sockets that
// do not block it is synchronous.
//
// It is not about the calls. Whoever gets the bytes is woken, and where all share few cores, with a sidecar that Kubernetes
// gives the least share of them, it runs at once: the app would answer one request and sleep again before it is given the
// next. With one call it finds them all.
type batch struct {
	context  uintptr // 0: not to be had; then it is one call each
	blocks   [maxEvents]iocb
	pointers [maxEvents]*iocb
	done     [maxEvents]ioEvent
}

// iocb is struct iocb of linux/aio_abi.h: what is left blank stays 0.
type iocb struct {
	data   uint64
	_      uint64
	opcode uint16
	_      uint16
	fd     uint32
	buffer uint64
	size   uint64
	_      [3]uint64
}

// ioEvent is struct io_event.
type ioEvent struct {
	data, _ uint64
	result  int64
	_       int64
}

// opWrite is IOCB_CMD_PWRITE.
const opWrite = 1

func newBatch() *batch {
	b := new(batch)
	for i := range b.blocks {
		b.pointers[i] = &b.blocks[i]
	}
	// Where a seccomp profile or the limit of the machine (fs.aio-max-nr) does not allow it, it stays 0.
	_, _, _ = unix.RawSyscall(unix.SYS_IO_SETUP, maxEvents, uintptr(unsafe.Pointer(&b.context)), 0)
	return b
}

// write writes all, and notes how each went in its field sent.
func (b *batch) write(sends []send) {
	n := 0
	if len(sends) > 1 && b.context != 0 {
		n = b.submit(sends)
	}
	for i := range sends[n:] {
		s := &sends[n+i]
		s.sent = write(s.f.fds[s.side], s.b)
	}
}

// submit writes the first of them, and returns how many.
func (b *batch) submit(sends []send) int {
	for i := range sends {
		s := &sends[i]
		s.sent = -int(unix.EIO) // if its end is never told
		b.blocks[i] = iocb{data: uint64(i), opcode: opWrite, fd: uint32(s.f.fds[s.side]), buffer: uint64(uintptr(unsafe.Pointer(&s.b[0]))), size: uint64(len(s.b))}
	}
	taken, _, errno := unix.RawSyscall(unix.SYS_IO_SUBMIT, b.context, uintptr(len(sends)), uintptr(unsafe.Pointer(&b.pointers[0])))
	if errno != 0 {
		return 0
	}
	for left := taken; left > 0; {
		got, _, errno := unix.RawSyscall6(unix.SYS_IO_GETEVENTS, b.context, left, left, uintptr(unsafe.Pointer(&b.done[0])), 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			break
		}
		for _, e := range b.done[:got] {
			sends[e.data].sent = int(e.result)
		}
		left -= got
	}
	return int(taken)
}
