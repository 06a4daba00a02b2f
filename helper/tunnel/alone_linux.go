// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// alone writes a packet that comes alone by one call, without looking for others that it could be put together with: small
// answers come one after the other. The call never waits, so the Go runtime is not told of it: it would watch whether it
// does, and give the processor away meanwhile.
type alone struct {
	tun.Device
	raw    syscall.RawConn
	header int // bytes of struct virtio_net_hdr (linux/virtio_net.h) that the interface wants before a packet
}

// virtioHeader is the size of that, in bytes; all zero it says that there is nothing to do to the packet.
const virtioHeader = 10

// writeAlone returns the device, with a quicker way for a packet alone.
func writeAlone(device tun.Device) tun.Device {
	file := device.File()
	if file == nil {
		return device
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return device
	}
	header := 0
	if device.BatchSize() > 1 { // it takes several at once if it has the header
		header = virtioHeader
	}
	return &alone{Device: device, raw: raw, header: header}
}

func (d *alone) Write(packets [][]byte, offset int) (int, error) {
	if len(packets) != 1 || offset < d.header {
		return d.Device.Write(packets, offset)
	}
	packet := packets[0][offset-d.header:]
	clear(packet[:d.header])
	var errno unix.Errno
	err := d.raw.Write(func(fd uintptr) bool {
		for {
			_, _, errno = unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(packet))), uintptr(len(packet)))
			if errno != unix.EINTR {
				return errno != unix.EAGAIN
			}
		}
	})
	switch {
	case err != nil:
		return 0, err
	case errno == unix.EBADFD: // the interface is gone
		return 0, os.ErrClosed
	case errno != 0:
		return 0, os.NewSyscallError("write", errno)
	}
	return len(packet), nil
}
