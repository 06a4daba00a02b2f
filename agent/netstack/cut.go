// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// maxHeaders is the most that IP and TCP headers take together, in bytes: 60 each.
const maxHeaders = 120

// cutter hands out one outgoing packet in pieces that fit an MTU: TCP data as segments (which any sender may choose
// as it likes), anything else as IP fragments. It also completes checksums that the stack left to it. A packet that
// fits goes out as it is. The zero value has nothing to hand out.
//
// The MTU may change from piece to piece: the path may have become another one meanwhile.
type cutter struct {
	pkt     *stack.PacketBuffer
	view    *buffer.View // what is next to be read
	offset  int          // in view
	left    int          // bytes of payload not handed out yet
	headers [maxHeaders]byte
	ipLen   int // IP header
	hdrLen  int // IP header, and TCP header where there is one
	v6      bool
	tcp     bool
	partial bool // the checksum is ours to complete
	mss     int  // payload per segment that the receiver asked for; 0 if it did not
	seq     uint32
	sent    int // bytes of payload handed out: the offset of the next fragment
	id      uint32
}

// load takes a packet over; drop or the last next gives it back to the stack.
func (c *cutter) load(pkt *stack.PacketBuffer, id uint32) {
	views, offset := pkt.AsViewList()
	*c = cutter{pkt: pkt, view: views.Front(), offset: offset, id: id}
	size := pkt.Size()
	c.v6 = pkt.NetworkProtocolNumber == header.IPv6ProtocolNumber
	c.ipLen = len(pkt.NetworkHeader().Slice())
	c.hdrLen = c.ipLen
	if pkt.TransportProtocolNumber == header.TCPProtocolNumber {
		if tcp := len(pkt.TransportHeader().Slice()); tcp >= header.TCPMinimumSize {
			c.tcp = true
			c.hdrLen += tcp
			c.partial = pkt.GSOOptions.Type != stack.GSONone && pkt.GSOOptions.NeedsCsum
			if pkt.GSOOptions.Type != stack.GSONone {
				c.mss = int(pkt.GSOOptions.MSS)
			}
		}
	}
	if c.ipLen < header.IPv4MinimumSize || c.hdrLen > maxHeaders || c.hdrLen > size {
		c.drop()
		return
	}
	c.read(c.headers[:c.hdrLen])
	c.left = size - c.hdrLen
	if c.tcp {
		c.seq = binary.BigEndian.Uint32(c.headers[c.ipLen+4:])
	}
}

// loaded reports whether there is something to hand out.
func (c *cutter) loaded() bool { return c.pkt != nil }

// drop forgets the rest of the packet.
func (c *cutter) drop() {
	if c.pkt != nil {
		c.pkt.DecRef()
	}
	c.pkt, c.view = nil, nil
}

// next writes the next piece to dst and returns its size in bytes. dst must hold an MTU. A size of 0 says that the
// packet can't be cut to this MTU and was dropped.
func (c *cutter) next(dst []byte, mtu int) int {
	var n int
	switch {
	case c.tcp:
		n = c.nextSegment(dst, mtu)
	case c.sent == 0 && c.hdrLen+c.left <= mtu:
		n = copy(dst, c.headers[:c.hdrLen])
		c.read(dst[n : n+c.left])
		n += c.left
		c.left = 0
	case c.v6:
		n = c.nextFragment6(dst, mtu)
	default:
		n = c.nextFragment4(dst, mtu)
	}
	if c.left == 0 || n == 0 {
		c.drop()
	}
	return n
}

// nextSegment writes a TCP segment. Sequence number, flags, lengths and checksums become the piece's own.
func (c *cutter) nextSegment(dst []byte, mtu int) int {
	size := mtu - c.hdrLen
	if c.mss > 0 {
		size = min(size, c.mss)
	}
	if size < 0 || size == 0 && c.left > 0 {
		return 0
	}
	whole := c.sent == 0 && c.left <= size
	size = min(size, c.left)
	n := c.hdrLen + size
	copy(dst, c.headers[:c.hdrLen])
	c.read(dst[c.hdrLen:n])

	tcp := dst[c.ipLen:n]
	if whole && !c.partial {
		c.left, c.sent = 0, size
		return n
	}
	first := c.sent == 0
	c.left -= size
	binary.BigEndian.PutUint32(tcp[4:], c.seq)
	if c.left > 0 {
		tcp[13] &^= byte(header.TCPFlagFin | header.TCPFlagPsh)
	}
	if !first {
		tcp[13] &^= tcpFlagCWR
	}
	c.seq += uint32(size)
	c.sent += size
	c.finishIP(dst[:n], first)
	tcp[16], tcp[17] = 0, 0
	addresses := dst[12:20]
	if c.v6 {
		addresses = dst[8:40]
	}
	sum := checksum.Checksum(tcp, pseudoHeader(addresses, protocolTCP, len(tcp)))
	binary.BigEndian.PutUint16(tcp[16:], ^sum)
	return n
}

// tcpFlagCWR says that the sender has slowed down after a congestion mark (RFC 3168): once, in the first segment.
const tcpFlagCWR = 0x80

// finishIP sets the length of a piece and, for IPv4, identification and header checksum.
func (c *cutter) finishIP(piece []byte, first bool) {
	if c.v6 {
		binary.BigEndian.PutUint16(piece[4:], uint16(len(piece)-header.IPv6MinimumSize))
		return
	}
	binary.BigEndian.PutUint16(piece[2:], uint16(len(piece)))
	if !first {
		id := binary.BigEndian.Uint16(c.headers[4:]) + 1
		binary.BigEndian.PutUint16(c.headers[4:], id)
		binary.BigEndian.PutUint16(piece[4:], id)
	}
	setIPv4Checksum(piece[:c.ipLen])
}

func setIPv4Checksum(h []byte) {
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], ^checksum.Checksum(h, 0))
}

// nextFragment4 writes an IPv4 fragment (RFC 791, section 3.2). Only the first keeps options.
func (c *cutter) nextFragment4(dst []byte, mtu int) int {
	const moreFragments = 0x2000
	size := (mtu - c.ipLen) &^ 7
	if size <= 0 {
		return 0
	}
	if c.left <= mtu-c.ipLen {
		size = c.left
	}
	n := c.ipLen + size
	copy(dst, c.headers[:c.ipLen])
	c.read(dst[c.ipLen:n])
	field := uint16(c.sent / 8)
	c.sent += size
	c.left -= size
	if c.left > 0 {
		field |= moreFragments
	}
	binary.BigEndian.PutUint16(dst[2:], uint16(n))
	binary.BigEndian.PutUint16(dst[4:], uint16(c.id))
	binary.BigEndian.PutUint16(dst[6:], field)
	setIPv4Checksum(dst[:c.ipLen])
	return n
}

// nextFragment6 writes an IPv6 fragment (RFC 8200, section 4.5) of a packet without extension headers.
func (c *cutter) nextFragment6(dst []byte, mtu int) int {
	const (
		fragmentHeader = 8
		nextHeader     = 44
	)
	if c.ipLen != header.IPv6MinimumSize {
		return 0
	}
	room := mtu - c.ipLen - fragmentHeader
	size := room &^ 7
	if size <= 0 {
		return 0
	}
	if c.left <= room {
		size = c.left
	}
	n := c.ipLen + fragmentHeader + size
	copy(dst, c.headers[:c.ipLen])
	dst[6] = nextHeader
	field := uint16(c.sent)
	c.sent += size
	c.left -= size
	if c.left > 0 {
		field |= 1
	}
	f := dst[c.ipLen:]
	f[0], f[1] = c.headers[6], 0
	binary.BigEndian.PutUint16(f[2:], field)
	binary.BigEndian.PutUint32(f[4:], c.id)
	c.read(f[fragmentHeader : fragmentHeader+size])
	binary.BigEndian.PutUint16(dst[4:], uint16(n-header.IPv6MinimumSize))
	return n
}

// read copies the packet's next len(dst) bytes.
func (c *cutter) read(dst []byte) {
	for len(dst) > 0 && c.view != nil {
		b := c.view.AsSlice()
		if c.offset >= len(b) {
			c.offset -= len(b)
			c.view = c.view.Next()
			continue
		}
		n := copy(dst, b[c.offset:])
		c.offset += n
		dst = dst[n:]
	}
}
