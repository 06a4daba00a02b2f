// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// MaxFrame is the largest message in bytes, without its length: room for 1000 namespaces of 63 letters and 256
	// routes three times over.
	MaxFrame = 256 << 10

	frameHeader = 4 // bytes of length before each message
)

// WriteFrame writes message as one frame in one Write. It fails before writing when the message is larger than
// MaxFrame.
func WriteFrame(w io.Writer, message any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	if len(body) > MaxFrame {
		return fmt.Errorf("message of %d bytes is larger than the %d that a frame holds", len(body), MaxFrame)
	}
	frame := make([]byte, frameHeader, frameHeader+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)))
	if _, err := w.Write(append(frame, body...)); err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	return nil
}

// ReadFrame reads the bytes of one message and not one byte more, so that what follows it on the stream can be of
// another kind. It returns io.EOF when the stream ends between two frames, and an *Error for a frame out of bounds,
// after which the stream is unusable.
func ReadFrame(r io.Reader) ([]byte, error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("read message length: %w", err)
	}
	size := binary.BigEndian.Uint32(header[:])
	if size == 0 || size > MaxFrame {
		return nil, refuse(CodeBadRequest, "Caller and helper must be of the same version.",
			"the message has %d bytes; between 1 and %d are allowed", size, MaxFrame)
	}
	// The announced size is not trusted with memory before the bytes are there.
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, int64(size)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read message of %d bytes: %w", size, err)
	}
	return body.Bytes(), nil
}

// DecodeStrict decodes one JSON value into message and refuses fields that message does not have and anything after
// the value. An empty body decodes as an empty object. The error is an *Error.
func DecodeStrict(body []byte, message any) error {
	if len(body) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(message)
	if err == nil {
		if _, trailing := decoder.Token(); !errors.Is(trailing, io.EOF) {
			err = errors.New("there is more after the message")
		}
	}
	if err != nil {
		return refuse(CodeBadRequest, "Caller and helper must be of the same version.", "the message is malformed: %v", err)
	}
	return nil
}

// ReadReply reads a Reply and decodes its body into message, which may be nil for a reply without content. Fields
// that are not known are ignored: a helper of a later patch version may say more. It returns the *Error that the
// helper answered with.
func ReadReply(r io.Reader, message any) error {
	frame, err := ReadFrame(r)
	if err != nil {
		return err
	}
	var reply Reply
	if err := json.Unmarshal(frame, &reply); err != nil {
		return fmt.Errorf("decode reply: %w", err)
	}
	if reply.Error != nil {
		return reply.Error
	}
	if message == nil || len(reply.Body) == 0 {
		return nil
	}
	if err := json.Unmarshal(reply.Body, message); err != nil {
		return fmt.Errorf("decode reply: %w", err)
	}
	return nil
}

// WriteReply writes body, which may be nil, as a Reply.
func WriteReply(w io.Writer, body any) error {
	if body == nil {
		return WriteFrame(w, Reply{})
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode reply: %w", err)
	}
	return WriteFrame(w, Reply{Body: raw})
}

// WriteRequest writes a call of verb with body, which may be nil.
func WriteRequest(w io.Writer, verb Verb, body any) error {
	if body == nil {
		return WriteFrame(w, Request{Verb: verb})
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	return WriteFrame(w, Request{Verb: verb, Body: raw})
}

// refuse makes an Error.
func refuse(code Code, hint, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
}
