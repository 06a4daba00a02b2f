// SPDX-License-Identifier: Apache-2.0

package control

import (
	"encoding/binary"
	"errors"
	"io"
)

// maxDatagram is what fits behind two bytes of length.
const maxDatagram = 65535

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

// readDatagram reads one into the buffer, which has room for any.
func readDatagram(r io.Reader, buffer []byte) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	payload := buffer[:binary.BigEndian.Uint16(length[:])]
	_, err := io.ReadFull(r, payload)
	return payload, err
}
