// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// MaxDatagram is the largest datagram that a frame can carry, in bytes: what two bytes of length can say.
	MaxDatagram = 65535

	// FrameHeader is the size of a frame's header in bytes: the datagram's length, big endian.
	FrameHeader = 2
)

// Hello opens a relay stream in both directions, before the first frame. The last byte is the format's version.
// Whoever reads something else is not talking to the other end of a Fairlead tunnel and closes the stream.
var Hello = [8]byte{'F', 'L', 'R', 'E', 'L', 'A', 'Y', 1}

// ErrHello says that a stream did not begin with Hello.
var ErrHello = errors.New("the stream does not begin with the relay greeting of this version")

// ErrEmptyFrame says that a frame announced a datagram of no bytes, which no side ever sends.
var ErrEmptyFrame = errors.New("relay frame without a datagram")

// AppendFrame appends datagram to dst as one frame and returns the longer slice. It fails, and leaves dst as it was,
// when the datagram is empty or larger than MaxDatagram.
func AppendFrame(dst, datagram []byte) ([]byte, error) {
	switch {
	case len(datagram) == 0:
		return dst, ErrEmptyFrame
	case len(datagram) > MaxDatagram:
		return dst, fmt.Errorf("datagram of %d bytes does not fit a relay frame of at most %d", len(datagram), MaxDatagram)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(datagram)))
	return append(dst, datagram...), nil
}

// ReadHello reads and checks the greeting of a relay stream.
func ReadHello(r io.Reader) error {
	var got [len(Hello)]byte
	if _, err := io.ReadFull(r, got[:]); err != nil {
		return fmt.Errorf("read relay greeting: %w", err)
	}
	if !bytes.Equal(got[:], Hello[:]) {
		return ErrHello
	}
	return nil
}

// ReadDatagram reads one frame from r into buf and returns the datagram's length. A buffer of MaxDatagram bytes holds
// every datagram; with a smaller one a larger frame is an error, and the stream is then unusable. r should be
// buffered: the header is read on its own. At the end of the stream between two frames it returns io.EOF.
func ReadDatagram(r io.Reader, buf []byte) (int, error) {
	var header [FrameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		return 0, fmt.Errorf("read relay frame header: %w", err)
	}
	size := int(binary.BigEndian.Uint16(header[:]))
	switch {
	case size == 0:
		return 0, ErrEmptyFrame
	case size > len(buf):
		return 0, fmt.Errorf("relay frame of %d bytes does not fit a buffer of %d", size, len(buf))
	}
	if _, err := io.ReadFull(r, buf[:size]); err != nil {
		return 0, fmt.Errorf("read relay frame of %d bytes: %w", size, err)
	}
	return size, nil
}
