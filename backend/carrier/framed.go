// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// spdyHeader is the size of the header that every SPDY/3.1 frame begins with, in bytes; its last three are the length
// of the rest (SPDY Protocol, draft 3.1, section 2.2).
const spdyHeader = 8

// framedConn is a WebSocket that carries SPDY as a stream of bytes. The SPDY library writes a frame in pieces, its
// header as two of four bytes; framedConn sends each frame as one message. For a small datagram, such as an
// acknowledgement, that is a third of the records, system calls and messages here, in the API server and in the
// kubelet.
//
// One goroutine may read while another writes.
type framedConn struct {
	ws     *websocket.Conn
	reader io.Reader // of the message that is being read

	writer io.WriteCloser   // of the message that is being written
	header [spdyHeader]byte // of the frame that is being written
	filled int              // bytes of header that are there
	left   int              // bytes of the frame that are to come after its header

	closing sync.Once
}

var _ net.Conn = (*framedConn)(nil)

// Read reads bytes of the stream, wherever messages begin and end.
func (c *framedConn) Read(p []byte) (int, error) {
	for {
		if c.reader == nil {
			kind, reader, err := c.ws.NextReader()
			if err != nil {
				if closed, ok := errors.AsType[*websocket.CloseError](err); ok && closed.Code == websocket.CloseNormalClosure {
					return 0, io.EOF
				}
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, fmt.Errorf("read relay: WebSocket message of kind %d", kind)
			}
			c.reader = reader
		}
		n, err := c.reader.Read(p)
		if err == io.EOF {
			c.reader, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Write writes bytes of the stream. They are sent when the frame that they belong to is complete.
func (c *framedConn) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n, err := c.writePiece(p[written:])
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// writePiece writes what p has of the present frame: of its header, or of what comes after that.
func (c *framedConn) writePiece(p []byte) (int, error) {
	if c.filled < spdyHeader {
		n := copy(c.header[c.filled:], p)
		c.filled += n
		if c.filled < spdyHeader {
			return n, nil
		}
		c.left = int(binary.BigEndian.Uint32(c.header[4:]) & 0xffffff)
		return n, c.begin()
	}
	n, err := c.writer.Write(p[:min(len(p), c.left)])
	c.left -= n
	if err != nil || c.left > 0 {
		return n, err
	}
	return n, c.finish()
}

// begin starts the message of a frame whose header is complete.
func (c *framedConn) begin() error {
	var err error
	if c.writer, err = c.ws.NextWriter(websocket.BinaryMessage); err != nil {
		return err
	}
	if _, err = c.writer.Write(c.header[:]); err != nil {
		return err
	}
	if c.left == 0 {
		return c.finish()
	}
	return nil
}

// finish sends the message of the present frame.
func (c *framedConn) finish() error {
	c.filled = 0
	return c.writer.Close()
}

// Close closes the WebSocket in order.
func (c *framedConn) Close() error {
	var err error
	c.closing.Do(func() {
		goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		err = c.ws.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(time.Second))
		err = errors.Join(err, c.ws.Close())
	})
	return err
}

// The rest of net.Conn is the WebSocket's.

func (c *framedConn) LocalAddr() net.Addr                { return c.ws.LocalAddr() }
func (c *framedConn) RemoteAddr() net.Addr               { return c.ws.RemoteAddr() }
func (c *framedConn) SetReadDeadline(t time.Time) error  { return c.ws.SetReadDeadline(t) }
func (c *framedConn) SetWriteDeadline(t time.Time) error { return c.ws.SetWriteDeadline(t) }
func (c *framedConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
