// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"encoding/binary"
	"errors"
	"io"
	"net"

	"github.com/fairlead-dev/fairlead/backend/traffic"
)

// maxDatagram is the largest payload of a UDP datagram, in bytes (RFC 768).
const maxDatagram = 65507

// errTooLong says that a length on a datagram flow is none.
var errTooLong = errors.New("datagram is longer than UDP allows")

// carryDatagrams carries datagrams between their framing on the flow, two bytes of length each, and a UDP socket.
func carryDatagrams(gateway, local net.Conn, discard bool, seen *traffic.Observer) {
	defer seen.End(true)
	go func() {
		defer local.Close() // which ends the other direction
		buffer := make([]byte, maxDatagram)
		for {
			n, err := readDatagram(gateway, buffer)
			if err != nil {
				return
			}
			seen.In(buffer[:n])
			if _, err := local.Write(buffer[:n]); errors.Is(err, net.ErrClosed) {
				return // any other error is of an earlier datagram, such as a program that is being restarted
			}
		}
	}()
	buffer := make([]byte, 2+maxDatagram)
	for {
		n, err := local.Read(buffer[2:])
		if isRefused(err) && discard {
			continue
		}
		// Where the program is gone, the flow ends, too: the client's next datagram opens another one, and that the app gets.
		if err != nil {
			break
		}
		seen.Out(buffer[2 : 2+n])
		if discard {
			continue
		}
		binary.BigEndian.PutUint16(buffer, uint16(n))
		if _, err := gateway.Write(buffer[:2+n]); err != nil {
			break
		}
	}
	_ = gateway.Close()
	_ = local.Close()
}

// readDatagram reads one datagram of a flow.
func readDatagram(flow io.Reader, buffer []byte) (int, error) {
	var length [2]byte
	if _, err := io.ReadFull(flow, length[:]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n > len(buffer) {
		return 0, errTooLong
	}
	return io.ReadFull(flow, buffer[:n])
}
