// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"encoding/binary"
	"fmt"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

// deframer takes frames out of a byte stream that comes in pieces. It never reads ahead: what it is given is used up or
// returned. The zero value is ready.
type deframer struct {
	partial []byte // the beginning of a frame whose end has not come
}

// next takes the next datagram out of in and copies it to out. It returns the datagram's size and what is left of in. A
// size of 0 means that in held no whole datagram and is used up. After an error the stream is unusable.
func (d *deframer) next(in, out []byte) (size int, rest []byte, err error) {
	if len(d.partial) == 0 && len(in) >= carrier.FrameHeader {
		size, err := frameSize(in, out)
		if err != nil {
			return 0, nil, err
		}
		if end := carrier.FrameHeader + size; len(in) >= end {
			copy(out, in[carrier.FrameHeader:end])
			return size, in[end:], nil
		}
	}
	in = d.fill(in, carrier.FrameHeader)
	if len(d.partial) < carrier.FrameHeader {
		return 0, nil, nil
	}
	size, err = frameSize(d.partial, out)
	if err != nil {
		return 0, nil, err
	}
	in = d.fill(in, carrier.FrameHeader+size)
	if len(d.partial) < carrier.FrameHeader+size {
		return 0, nil, nil
	}
	copy(out, d.partial[carrier.FrameHeader:])
	d.partial = d.partial[:0]
	return size, in, nil
}

// fill moves bytes from in to the partial frame until that has size bytes, and returns what is left of in.
func (d *deframer) fill(in []byte, size int) []byte {
	n := min(max(size-len(d.partial), 0), len(in))
	d.partial = append(d.partial, in[:n]...)
	return in[n:]
}

// frameSize reads the size of the datagram in a frame and checks that out can hold it.
func frameSize(frame, out []byte) (int, error) {
	size := int(binary.BigEndian.Uint16(frame))
	switch {
	case size == 0:
		return 0, carrier.ErrEmptyFrame
	case size > len(out):
		return 0, fmt.Errorf("relay frame of %d bytes does not fit a buffer of %d", size, len(out))
	}
	return size, nil
}
