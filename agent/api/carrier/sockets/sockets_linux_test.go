// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
	"unsafe"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// sizesOf makes datagrams of the sizes given.
func sizesOf(sizes ...int) [][]byte {
	datagrams := make([][]byte, len(sizes))
	for i, size := range sizes {
		datagrams[i] = bytes.Repeat([]byte{byte(i + 1)}, size)
	}
	return datagrams
}

func repeat(size, times int) []int {
	sizes := make([]int, times)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}

func TestPack(t *testing.T) {
	for _, test := range []struct {
		name    string
		sizes   []int
		segment bool
		want    []int // datagrams in each message
	}{
		{"one", []int{100}, true, []int{1}},
		{"equal", []int{100, 100, 100}, true, []int{3}},
		{"a smaller one ends a message", []int{100, 100, 60, 60}, true, []int{3, 1}},
		{"a smaller one, then larger", []int{100, 60, 100, 100}, true, []int{2, 2}},
		{"a larger one begins a message", []int{60, 100}, true, []int{1, 1}},
		{"no segmentation", []int{100, 100}, false, []int{1, 1}},
		{"at most 64", repeat(10, 130), true, []int{64, 64, 2}},
		{"at most 65000 bytes", repeat(1452, 128), true, []int{44, 44, 40}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &socket{}
			s.segment.Store(test.segment)
			datagrams := sizesOf(test.sizes...)
			messages := s.pack(make([]ipv6.Message, 130), datagrams, nil)
			if len(messages) != len(test.want) {
				t.Fatalf("%d messages, want %d", len(messages), len(test.want))
			}
			i := 0
			for n, m := range messages {
				if len(m.Buffers) != test.want[n] {
					t.Errorf("message %d has %d datagrams, want %d", n, len(m.Buffers), test.want[n])
				}
				if (len(m.OOB) > 0) != (len(m.Buffers) > 1) {
					t.Errorf("message %d of %d datagrams has %d bytes of control", n, len(m.Buffers), len(m.OOB))
				}
				for _, b := range m.Buffers {
					if &b[0] != &datagrams[i][0] {
						t.Fatalf("datagram %d is out of order", i)
					}
					i++
				}
			}
		})
	}
}

func TestSegmentSize(t *testing.T) {
	control := make([]byte, unix.CmsgSpace(4))
	if got := segmentSize(nil, 99); got != 99 {
		t.Errorf("without control message: %d", got)
	}
	if got := segmentSize(control, 99); got != 99 {
		t.Errorf("with an empty control message: %d", got)
	}
	// The kernel's message differs from ours in type and width only.
	ours := appendSegmentSize(nil, 1452)
	header, data, _, err := unix.ParseOneSocketControlMessage(ours)
	if err != nil || header.Type != unix.UDP_SEGMENT || len(data) != 2 {
		t.Errorf("control message %v %v %v", header, data, err)
	}
}

// TestReceiveKeepsGroups: datagrams that the kernel moved as one are handed over in one call, unless they are too many for any.
func TestReceiveKeepsGroups(t *testing.T) {
	r := newReceiver(nil)
	group := func(i, size, count int) {
		r.headers[i].size = uint32(size * count)
		control := appendSegmentSize(nil, 0)
		header := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		header.Type = unix.UDP_GRO
		header.SetLen(unix.CmsgLen(4))
		*(*int32)(unsafe.Pointer(&control[unix.CmsgLen(0)])) = int32(size)
		r.headers[i].SetControllen(copy(r.control[i][:], control))
	}
	group(0, 1000, 45)
	group(1, 1000, 45)
	group(2, 1000, 38)
	group(3, 100, 1)
	group(4, 10, 130)
	r.filled = 5
	bufs, sizes := make([][]byte, 128), make([]int, 128)
	for i := range bufs {
		bufs[i] = make([]byte, 2000)
	}
	for i, want := range []int{128, 1, 128, 2} {
		if n, err := r.receive(bufs, sizes, nil); n != want || err != nil {
			t.Errorf("call %d: %d datagrams, error %v, want %d", i, n, err, want)
		}
	}
	group(0, 1000, 45)
	group(1, 1000, 45)
	group(2, 1000, 45)
	r.current, r.offset, r.filled = 0, 0, 3
	for i, want := range []int{90, 45} {
		if n, err := r.receive(bufs, sizes, nil); n != want || err != nil {
			t.Errorf("call %d: %d datagrams, error %v, want %d", i, n, err, want)
		}
	}
}

// TestSockets sends batches over loopback and gets every datagram as it was, in both families.
func TestSockets(t *testing.T) {
	for _, loopback := range []string{"127.0.0.1", "::1"} {
		t.Run(loopback, func(t *testing.T) {
			from, err := Open(0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = from.Close() }()
			to, err := Open(0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = to.Close() }()
			addr := netip.MustParseAddr(loopback)
			receive := newReceiver(to.to(addr)).receive
			sender := netip.AddrPortFrom(addr, from.Port())
			target := netip.AddrPortFrom(addr, to.Port())

			datagrams := append(sizesOf(repeat(1452, 100)...), sizesOf(60, 9000, 9000, 1)...)
			if err := from.Send(datagrams, target); err != nil {
				t.Fatal(err)
			}
			alone := []byte("one alone")
			datagrams = append(datagrams, alone)
			if err := from.Send([][]byte{alone}, target); err != nil {
				t.Fatal(err)
			}
			got := 0
			for got < len(datagrams) {
				bufs, sizes := make([][]byte, 16), make([]int, 16) // smaller than what the kernel coalesces
				for i := range bufs {
					bufs[i] = make([]byte, 65535)
				}
				sources := make([]netip.AddrPort, 16)
				n, err := receive(bufs, sizes, sources)
				if err != nil {
					t.Fatal(err)
				}
				for i := range n {
					if !bytes.Equal(bufs[i][:sizes[i]], datagrams[got]) {
						t.Fatalf("datagram %d: %d bytes, want %d as sent", got, sizes[i], len(datagrams[got]))
					}
					if sources[i] != sender {
						t.Fatalf("datagram %d came from %s, want %s", got, sources[i], sender)
					}
					got++
				}
			}
			if err := from.SendUnbroken([]byte("x"), target); err != nil {
				t.Errorf("SendUnbroken: %v", err)
			}
		})
	}
}

func TestSocketsTooLarge(t *testing.T) {
	sockets, err := Open(0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sockets.Close() }()
	to := netip.MustParseAddrPort("127.0.0.1:9")
	var tooLarge *TooLargeError
	// Larger than any datagram can be, between two that are not.
	err = sockets.Send([][]byte{{1}, make([]byte, 65535), {2}}, to)
	if !errors.As(err, &tooLarge) || tooLarge.Size != 65535 {
		t.Errorf("got %v", err)
	}
	tooLarge = nil
	err = sockets.Send([][]byte{make([]byte, 65535)}, to)
	if !errors.As(err, &tooLarge) || tooLarge.Size != 65535 {
		t.Errorf("alone: got %v", err)
	}
}

func TestSocketsClosed(t *testing.T) {
	sockets, err := Open(0)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	receive := sockets.Receivers()[0]
	go func() {
		_, err := receive([][]byte{make([]byte, 10)}, make([]int, 1), nil)
		ended <- err
	}()
	if err := sockets.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("receive after close: %v", err)
	}
	if err := sockets.Send([][]byte{{1}}, netip.MustParseAddrPort("127.0.0.1:9")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("send after close: %v", err)
	}
}
