// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Version of the contract. Ends that differ don't talk; a gateway replaces sidecars of another version.
const Version = 1

const (
	// MaxMessage bounds a control message, MaxOpen a Hello, an Open or an Answer; in bytes without the length.
	MaxMessage = 1 << 20
	MaxOpen    = 8 << 10

	// HeartbeatInterval is how often each end of a control connection says something at the latest; SilenceLimit is after
	// how much silence the other end counts as gone.
	HeartbeatInterval = time.Second
	SilenceLimit      = 3 * time.Second

	// OpenTimeout bounds the time from an Open to its Answer, for the whole way to the laptop's local port. When it has
	// passed, the flow goes to the app.
	OpenTimeout = 2 * time.Second
)

// WriteMessage writes one message. It calls Write once.
func WriteMessage(w io.Writer, message any, limit int) error {
	body, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode %T: %w", message, err)
	}
	if len(body) > limit {
		return fmt.Errorf("encode %T: %d bytes are more than %d", message, len(body), limit)
	}
	frame := make([]byte, 4, 4+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)))
	if _, err := w.Write(append(frame, body...)); err != nil {
		return fmt.Errorf("write %T: %w", message, err)
	}
	return nil
}

// ReadMessage reads one message of at most limit bytes. It reads nothing beyond it. At the end of the stream, before the
// first byte, it returns io.EOF.
func ReadMessage(r io.Reader, message any, limit int) error {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		if err == io.EOF {
			return io.EOF
		}
		return fmt.Errorf("read the length of %T: %w", message, err)
	}
	n := binary.BigEndian.Uint32(length[:])
	if uint64(n) > uint64(limit) {
		return fmt.Errorf("read %T: %d bytes are more than %d", message, n, limit)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return fmt.Errorf("read %T: %w", message, err)
	}
	if err := json.Unmarshal(body, message); err != nil {
		return fmt.Errorf("decode %T: %w", message, err)
	}
	return nil
}
