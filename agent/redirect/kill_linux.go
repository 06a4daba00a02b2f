// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// closedFirst are descriptors that the kernel closes before all others of a process that is killed. Until its listening
// sockets are closed, the kernel completes connections for it that nobody will ever serve; and before that it closes whatever
// comes first, such as the connections of callers, who call again at once. It closes the last descriptor first: files are
// released by task work, which runs last in, first out (Linux, kernel/task_work.c), and __fput of some takes a while. So these
// are duplicates at the upper end: the attachment, whose end has new callers reach the app, and then the listening sockets.
type closedFirst struct{ descriptors []int }

const (
	// upperEnd is above the descriptors of a sidecar with thousands of connections, and costs a table of 128 KiB.
	upperEnd = 1 << 14
	// aside is how many descriptors from the end the sockets are: room for those and for the attachment behind them.
	aside       = 16
	asideBehind = 4
)

func (c *closedFirst) socket(socket syscall.Conn) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("duplicate a socket: %w", err)
	}
	var failed error
	if err := raw.Control(func(descriptor uintptr) { failed = c.add(int(descriptor), aside) }); err != nil {
		return fmt.Errorf("duplicate a socket: %w", err)
	}
	return failed
}

func (c *closedFirst) attachment(attachment link.Link) error {
	held, ok := attachment.(interface{ FD() int })
	if !ok {
		return fmt.Errorf("duplicate an attachment: %T has no descriptor", attachment)
	}
	return c.add(held.FD(), asideBehind)
}

// add duplicates a descriptor at one that is so far from the upper end, or where that is taken, behind it.
func (c *closedFirst) add(descriptor, fromEnd int) error {
	end := upperEnd
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil && limit.Cur < upperEnd {
		end = int(limit.Cur)
	}
	duplicate, err := unix.FcntlInt(uintptr(descriptor), unix.F_DUPFD_CLOEXEC, max(0, end-fromEnd))
	if err != nil {
		return fmt.Errorf("duplicate a descriptor: %w", err)
	}
	c.descriptors = append(c.descriptors, duplicate)
	return nil
}

// close is for the orderly end: without it, what they stand for would live on.
func (c *closedFirst) close() error {
	var errs []error
	for _, descriptor := range c.descriptors {
		errs = append(errs, unix.Close(descriptor))
	}
	c.descriptors = nil
	return errors.Join(errs...)
}
