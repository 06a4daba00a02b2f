// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
	"github.com/moby/spdystream/spdy"
	core "k8s.io/api/core/v1"
)

// Every SPDY/3.1 frame begins with a header of 8 bytes: a stream's number, or, with the first bit set, the version and
// kind of a control frame; then a byte of flags and three of length (SPDY Protocol, draft 3.1, section 2.2).
const (
	spdyHeader  = 8
	controlBit  = 0x80000000
	lengthBits  = 0x00ffffff
	finFlag     = 0x01
	flagsShift  = 24
	errorStream = 1 // our streams have odd numbers
	dataStream  = 3
	// controlFrame bounds a control frame, in bytes. They carry a few headers.
	controlFrame = 64 << 10
)

// portForward is a port-forward in a WebSocket: SPDY with two streams, one for data and one on which the kubelet
// reports errors. A general SPDY library hands every frame through three goroutines and a buffer of its own; this one
// reads data from the WebSocket straight into the reader's buffer, and sends each frame as one message. Nothing
// controls the flow of SPDY streams in Kubernetes, so neither does this.
//
// One goroutine may read while another writes. The reader also answers pings, so somebody must read.
type portForward struct {
	ws  messages
	cut io.Closer // the connection below, which ends everything at once

	reading    io.Reader   // of the message that is being read
	left       int         // bytes that are to come of the present data frame
	ended      bool        // the present data frame is the stream's last
	replies    int         // streams that the kubelet has accepted
	report     []byte      // what it says on the error stream
	failed     error       // of reading, after what came before has been handed over
	dataIsHere func() bool // more data can be read without waiting; nil where nobody knows
	control    *bytes.Reader
	incoming   *spdy.Framer // reads control frames from control

	writing  sync.Mutex
	message  io.Writer    // the message that is being written
	outgoing *spdy.Framer // writes control frames to message

	closing sync.Once
}

// messages is what portForward needs of a *websocket.Conn.
type messages interface {
	NextReader() (kind int, message io.Reader, err error)
	NextWriter(kind int) (io.WriteCloser, error)
}

// openPortForward asks for a port over a WebSocket that has just been opened, and waits until the kubelet has
// accepted. Closing cut ends it at any time.
func openPortForward(ws messages, cut io.Closer, port int32) (*portForward, error) {
	p := &portForward{ws: ws, cut: cut, control: bytes.NewReader(nil)}
	var err error
	if p.incoming, err = spdy.NewFramer(io.Discard, p.control); err != nil {
		return nil, err
	}
	if p.outgoing, err = spdy.NewFramer(messageWriter{p}, bytes.NewReader(nil)); err != nil {
		return nil, err
	}
	kinds := map[spdy.StreamId]string{errorStream: core.StreamTypeError, dataStream: core.StreamTypeData}
	for _, id := range []spdy.StreamId{errorStream, dataStream} { // numbers have to go up
		headers := http.Header{}
		headers.Set(core.StreamType, kinds[id])
		headers.Set(core.PortHeader, strconv.Itoa(int(port)))
		headers.Set(core.PortForwardRequestIDHeader, "0")
		if err := p.sendControl(&spdy.SynStreamFrame{StreamId: id, Headers: headers}); err != nil {
			return nil, fmt.Errorf("ask for the port: %w", err)
		}
	}
	if err := p.sendData(errorStream, finFlag, nil); err != nil { // we have nothing to say on it
		return nil, fmt.Errorf("ask for the port: %w", err)
	}
	for p.replies < 2 && p.left == 0 && !p.ended {
		if err := p.next(); err != nil {
			return nil, fmt.Errorf("ask for the port: %w", err)
		}
	}
	return p, nil
}

// Read reads what the pod sends, as much as is here already: every piece costs the helper, which it goes to, as much as
// a large one does.
func (p *portForward) Read(buf []byte) (int, error) {
	if p.failed != nil {
		return 0, p.failed
	}
	n, err := p.readPiece(buf)
	for err == nil && n < len(buf) && p.dataIsHere != nil && p.dataIsHere() {
		var more int
		more, err = p.readPiece(buf[n:])
		n += more
	}
	if n > 0 && err != nil {
		p.failed, err = err, nil
	}
	return n, err
}

// readPiece reads data of one frame, waiting for one if need be.
func (p *portForward) readPiece(buf []byte) (int, error) {
	for p.left == 0 {
		if p.ended {
			return 0, io.EOF
		}
		if err := p.next(); err != nil {
			return 0, err
		}
	}
	n, err := p.readSome(buf[:min(len(buf), p.left)])
	p.left -= n
	return n, err
}

// next reads the header of the next frame, and all of a frame that is not the pod's data.
func (p *portForward) next() error {
	var header [spdyHeader]byte
	if _, err := io.ReadFull(readerFunc(p.readSome), header[:]); err != nil {
		return err
	}
	stream, rest := binary.BigEndian.Uint32(header[:4]), binary.BigEndian.Uint32(header[4:])
	size, last := int(rest&lengthBits), rest>>flagsShift&finFlag != 0
	switch {
	case stream&controlBit != 0:
		return p.receiveControl(header, size)
	case stream == dataStream:
		p.left, p.ended = size, last
		return nil
	case stream == errorStream:
		return p.receiveReport(size, last)
	}
	_, err := io.CopyN(io.Discard, readerFunc(p.readSome), int64(size))
	return err
}

// receiveReport reads a piece of what the kubelet reports. A report that is complete ends the port-forward.
func (p *portForward) receiveReport(size int, last bool) error {
	kept := min(size, errorText-len(p.report))
	piece := make([]byte, kept)
	if _, err := io.ReadFull(readerFunc(p.readSome), piece); err != nil {
		return err
	}
	p.report = append(p.report, piece...)
	if _, err := io.CopyN(io.Discard, readerFunc(p.readSome), int64(size-kept)); err != nil {
		return err
	}
	if text := strings.TrimSpace(string(p.report)); last && text != "" {
		return fmt.Errorf("the kubelet reports: %s", text)
	}
	return nil
}

// receiveControl reads a control frame and does what it asks for.
func (p *portForward) receiveControl(header [spdyHeader]byte, size int) error {
	if size > controlFrame {
		return fmt.Errorf("SPDY control frame of %d bytes", size)
	}
	whole := make([]byte, spdyHeader+size)
	copy(whole, header[:])
	if _, err := io.ReadFull(readerFunc(p.readSome), whole[spdyHeader:]); err != nil {
		return err
	}
	p.control.Reset(whole)
	frame, err := p.incoming.ReadFrame()
	if err != nil {
		return fmt.Errorf("read SPDY control frame: %w", err)
	}
	switch f := frame.(type) {
	case *spdy.SynReplyFrame:
		p.replies++
	case *spdy.RstStreamFrame:
		if f.StreamId == dataStream || f.StreamId == errorStream {
			return fmt.Errorf("the kubelet ended the port-forward (SPDY status %d)", f.Status)
		}
	case *spdy.GoAwayFrame:
		return errors.New("the kubelet is ending the port-forward")
	case *spdy.PingFrame:
		if f.Id%2 == 0 { // the server's own; odd ones would be answers to ours
			return p.sendControl(f)
		}
	}
	return nil // settings and windows mean nothing here
}

// Write sends data to the pod, as one frame where its length allows.
func (p *portForward) Write(data []byte) (int, error) {
	written := 0
	for written < len(data) {
		piece := data[written:min(len(data), written+lengthBits)]
		if err := p.sendData(dataStream, 0, piece); err != nil {
			return written, err
		}
		written += len(piece)
	}
	return written, nil
}

func (p *portForward) sendData(stream uint32, flags byte, data []byte) error {
	var header [spdyHeader]byte
	binary.BigEndian.PutUint32(header[:4], stream)
	binary.BigEndian.PutUint32(header[4:], uint32(flags)<<flagsShift|uint32(len(data)))
	return p.send(func() error {
		if _, err := p.message.Write(header[:]); err != nil {
			return err
		}
		_, err := p.message.Write(data)
		return err
	})
}

func (p *portForward) sendControl(frame spdy.Frame) error {
	return p.send(func() error { return p.outgoing.WriteFrame(frame) })
}

// send sends what write writes to p.message as one message.
func (p *portForward) send(write func() error) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	message, err := p.ws.NextWriter(websocket.BinaryMessage)
	if err != nil {
		return err
	}
	p.message = message
	return errors.Join(write(), message.Close())
}

// readSome reads bytes of the stream, wherever messages begin and end.
func (p *portForward) readSome(buf []byte) (int, error) {
	for {
		if p.reading == nil {
			kind, message, err := p.ws.NextReader()
			switch {
			case websocket.IsCloseError(err, websocket.CloseNormalClosure):
				return 0, io.EOF
			case err != nil:
				return 0, err
			case kind != websocket.BinaryMessage:
				return 0, fmt.Errorf("a port-forward carries bytes, not WebSocket messages of kind %d", kind)
			}
			p.reading = message
		}
		n, err := p.reading.Read(buf)
		if err == io.EOF {
			p.reading, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Close ends the port-forward at once, without a word to a network that may be gone. Pending reads and writes return.
func (p *portForward) Close() error {
	var err error
	p.closing.Do(func() { err = p.cut.Close() })
	return err
}

// readerFunc makes a reader of a function.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// messageWriter writes to whichever message is being written.
type messageWriter struct{ p *portForward }

func (w messageWriter) Write(data []byte) (int, error) { return w.p.message.Write(data) }
