// SPDX-License-Identifier: Apache-2.0

package control

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
)

// maxDatagram is what fits behind two bytes of length.
const maxDatagram = 65535

var datagramBuffers = sync.Pool{New: func() any { return new([maxDatagram]byte) }}

// writeDatagram writes a datagram behind two bytes of length, in one piece.
func writeDatagram(w io.Writer, payload []byte) error {
	if len(payload) > maxDatagram {
		return errors.New("the datagram is too long")
	}
	frame := make([]byte, 2, 2+len(payload))
	binary.BigEndian.PutUint16(frame, uint16(len(payload)))
	_, err := w.Write(append(frame, payload...))
	return err
}

// receiveDatagram reads one and has it used; the bytes are the caller's no longer then. It needs memory only while one is there.
func receiveDatagram(r io.Reader, use func(payload []byte)) error {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return err
	}
	buffer := datagramBuffers.Get().(*[maxDatagram]byte)
	defer datagramBuffers.Put(buffer)
	payload := buffer[:binary.BigEndian.Uint16(length[:])]
	if _, err := io.ReadFull(r, payload); err != nil {
		return err
	}
	use(payload)
	return nil
}
