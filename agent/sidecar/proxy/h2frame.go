// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/net/http2/hpack"
)

// frameType and the flags are those of RFC 9113, section 6.
type frameType uint8

const (
	frameData frameType = iota
	frameHeaders
	framePriority
	frameReset
	frameSettings
	framePush
	framePing
	frameGoAway
	frameWindow
	frameContinuation
)

const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// h2Code is an error code of RFC 9113, section 7.
type h2Code uint32

const (
	h2NoError      h2Code = 0x0
	h2Protocol     h2Code = 0x1
	h2Internal     h2Code = 0x2
	h2FlowControl  h2Code = 0x3
	h2StreamClosed h2Code = 0x5
	h2FrameSize    h2Code = 0x6
	h2Refused      h2Code = 0x7
	h2Cancel       h2Code = 0x8
	h2Compression  h2Code = 0x9
	h2Calm         h2Code = 0xb
)

func (c h2Code) Error() string { return fmt.Sprintf("HTTP/2 error %#x", uint32(c)) }

// Settings of RFC 9113, section 6.5.2, and RFC 8441, section 3.
const (
	settingTableSize     = 0x1
	settingPush          = 0x2
	settingMaxStreams    = 0x3
	settingInitialWindow = 0x4
	settingMaxFrame      = 0x5
	settingMaxHeaderList = 0x6
	settingConnect       = 0x8
)

const (
	frameHeaderSize = 9
	h2MaxFrame      = 16 << 10 // bytes of a frame's payload that we accept; the default of RFC 9113
	h2DefaultWindow = 65535
	h2MaxWindow     = 1<<31 - 1
	// h2MaxHeaders bounds the headers of a message, in bytes, h2MaxFragments the frames that they come in.
	h2MaxHeaders   = 256 << 10
	h2MaxFragments = 64
)

// frame is a frame as it was read; the payload is valid until the next one is.
type frame struct {
	kind    frameType
	flags   uint8
	stream  uint32
	payload []byte
}

// readFrame reads a frame into a buffer, which it returns grown if need be.
func readFrame(r io.Reader, buf []byte) (frame, []byte, error) {
	if cap(buf) < 512 {
		buf = make([]byte, 512)
	}
	header := buf[:frameHeaderSize]
	if _, err := io.ReadFull(r, header); err != nil {
		return frame{}, buf, err
	}
	n := int(header[0])<<16 | int(header[1])<<8 | int(header[2])
	f := frame{kind: frameType(header[3]), flags: header[4], stream: binary.BigEndian.Uint32(header[5:9]) & h2MaxWindow}
	if n > h2MaxFrame {
		return frame{}, buf, h2FrameSize
	}
	if cap(buf) < n {
		buf = make([]byte, h2MaxFrame)
	}
	f.payload = buf[:n]
	if _, err := io.ReadFull(r, f.payload); err != nil {
		return frame{}, buf, unexpected(err)
	}
	return f, buf, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// content is the payload without padding and priority. It reports false if they don't fit.
func (f *frame) content() ([]byte, bool) {
	b, padding := f.payload, 0
	if f.flags&flagPadded != 0 {
		if len(b) == 0 {
			return nil, false
		}
		padding, b = int(b[0]), b[1:]
	}
	if f.kind == frameHeaders && f.flags&flagPriority != 0 {
		if len(b) < 5 {
			return nil, false
		}
		b = b[5:]
	}
	if padding > len(b) {
		return nil, false
	}
	return b[:len(b)-padding], true
}

// appendFrame appends a frame's header and payload.
func appendFrame(b []byte, kind frameType, flags uint8, stream uint32, payload []byte) []byte {
	n := len(payload)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), byte(kind), flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(b, payload...)
}

// appendHeaders appends a header block as a HEADERS frame and as many CONTINUATION frames as it takes.
func appendHeaders(b []byte, stream uint32, end bool, block []byte, maxFrame int) []byte {
	kind, flags := frameHeaders, uint8(0)
	if end {
		flags = flagEndStream
	}
	for {
		part := block[:min(len(block), maxFrame)]
		block = block[len(part):]
		if len(block) == 0 {
			flags |= flagEndHeaders
		}
		b = appendFrame(b, kind, flags, stream, part)
		if len(block) == 0 {
			return b
		}
		kind, flags = frameContinuation, 0
	}
}

func appendSettings(b []byte, settings ...[2]uint32) []byte {
	var payload []byte
	for _, s := range settings {
		payload = binary.BigEndian.AppendUint16(payload, uint16(s[0]))
		payload = binary.BigEndian.AppendUint32(payload, s[1])
	}
	return appendFrame(b, frameSettings, 0, 0, payload)
}

func appendWindow(b []byte, stream uint32, n int) []byte {
	return appendFrame(b, frameWindow, 0, stream, binary.BigEndian.AppendUint32(nil, uint32(n)))
}

func appendReset(b []byte, stream uint32, code h2Code) []byte {
	return appendFrame(b, frameReset, 0, stream, binary.BigEndian.AppendUint32(nil, uint32(code)))
}

func appendGoAway(b []byte, last uint32, code h2Code, debug []byte) []byte {
	payload := binary.BigEndian.AppendUint32(nil, last)
	payload = binary.BigEndian.AppendUint32(payload, uint32(code))
	return appendFrame(b, frameGoAway, 0, 0, append(payload, debug...))
}

// headerBlock gathers the fragments of one header block.
type headerBlock struct {
	stream    uint32 // 0: none is open
	end       bool
	fragments int
	bytes     []byte
}

// add takes a HEADERS or CONTINUATION frame. It reports whether the block is complete.
func (h *headerBlock) add(f *frame) (done bool, err error) {
	content := f.payload
	if f.kind == frameHeaders {
		var ok bool
		if content, ok = f.content(); !ok || f.stream == 0 || h.stream != 0 {
			return false, h2Protocol
		}
		h.stream, h.end, h.fragments, h.bytes = f.stream, f.flags&flagEndStream != 0, 0, h.bytes[:0]
	} else if f.stream != h.stream || h.stream == 0 {
		return false, h2Protocol
	}
	if h.fragments++; h.fragments > h2MaxFragments || len(h.bytes)+len(content) > h2MaxHeaders {
		return false, h2Calm
	}
	h.bytes = append(h.bytes, content...)
	return f.flags&flagEndHeaders != 0, nil
}

// decode reads the complete block.
func (h *headerBlock) decode(d *hpack.Decoder) ([]hpack.HeaderField, error) {
	var fields []hpack.HeaderField
	size, tooBig := 0, false
	d.SetEmitFunc(func(f hpack.HeaderField) {
		if size += int(f.Size()); size > h2MaxHeaders {
			tooBig = true
			return
		}
		fields = append(fields, f)
	})
	_, err := d.Write(h.bytes)
	if err == nil {
		err = d.Close()
	}
	h.stream = 0
	if cap(h.bytes) > smallBuffer {
		h.bytes = nil
	}
	switch {
	case tooBig:
		return nil, h2Calm
	case err != nil:
		return nil, h2Compression
	}
	return fields, nil
}

// maySettings reports whether an app's first bytes begin an HTTP/2 SETTINGS frame, which servers may send before they have
// seen the client's Preface: RFC 9113, section 3.4.
func maySettings(b []byte) bool {
	header := [frameHeaderSize]byte{3: byte(frameSettings)}
	for i, c := range b[:min(len(b), len(header))] {
		if i != 1 && i != 2 && c != header[i] {
			return false
		}
	}
	return len(b) > 0
}
