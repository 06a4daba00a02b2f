// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/moby/spdystream/spdy"
)

// script is a WebSocket whose messages are given, and that remembers what is sent.
type script struct {
	incoming [][]byte
	kind     int // of the messages; 0 is binary
	sent     [][]byte
}

func (s *script) NextReader() (int, io.Reader, error) {
	if len(s.incoming) == 0 {
		return 0, nil, &websocket.CloseError{Code: websocket.CloseNormalClosure}
	}
	message := s.incoming[0]
	s.incoming = s.incoming[1:]
	if s.kind != 0 {
		return s.kind, bytes.NewReader(message), nil
	}
	return websocket.BinaryMessage, bytes.NewReader(message), nil
}

func (s *script) NextWriter(int) (io.WriteCloser, error) { return &sentMessage{script: s}, nil }

func (s *script) Close() error { return nil }

type sentMessage struct {
	bytes.Buffer
	script *script
}

func (m *sentMessage) Close() error {
	m.script.sent = append(m.script.sent, m.Bytes())
	return nil
}

// data is a data frame.
func data(stream uint32, flags byte, payload string) []byte {
	frame := binary.BigEndian.AppendUint32(nil, stream)
	frame = binary.BigEndian.AppendUint32(frame, uint32(flags)<<flagsShift|uint32(len(payload)))
	return append(frame, payload...)
}

// control writes control frames, one after the other as one connection would.
func control(t testing.TB, frames ...spdy.Frame) [][]byte {
	t.Helper()
	var buffer bytes.Buffer
	framer, err := spdy.NewFramer(&buffer, bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for _, frame := range frames {
		buffer.Reset()
		if err := framer.WriteFrame(frame); err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Clone(buffer.Bytes()))
	}
	return all
}

// accepted are the two answers that open a port-forward.
func accepted(t testing.TB) [][]byte {
	return control(t, &spdy.SynReplyFrame{StreamId: errorStream}, &spdy.SynReplyFrame{StreamId: dataStream})
}

func TestPortForwardAsksForThePort(t *testing.T) {
	s := &script{incoming: accepted(t)}
	p, err := openPortForward(s, s, 8642)
	if err != nil {
		t.Fatal(err)
	}
	asked := slices.Concat(s.sent...)
	framer, err := spdy.NewFramer(io.Discard, bytes.NewReader(asked))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[spdy.StreamId]string{}
	for range 2 {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		syn := frame.(*spdy.SynStreamFrame)
		kinds[syn.StreamId] = syn.Headers.Get("Streamtype") + " " + syn.Headers.Get("Port")
	}
	if kinds[errorStream] != "error 8642" || kinds[dataStream] != "data 8642" {
		t.Errorf("asked for %v", kinds)
	}
	s.sent = nil
	if n, err := p.Write([]byte("hello")); n != 5 || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	if len(s.sent) != 1 || !bytes.Equal(s.sent[0], data(dataStream, 0, "hello")) {
		t.Errorf("a write must be one message with one frame, got %q", s.sent)
	}
}

func TestPortForwardReads(t *testing.T) {
	stream := slices.Concat(
		data(dataStream, 0, "one "), data(7, 0, "another stream's"), data(dataStream, 0, ""), data(dataStream, 0, "two "),
		slices.Concat(control(t, &spdy.PingFrame{Id: 2}, &spdy.SettingsFrame{}, &spdy.PingFrame{Id: 3})...),
		data(errorStream, finFlag, ""), data(dataStream, finFlag, "three"),
	)
	for _, size := range []int{1, 3, 8, 9, len(stream)} { // of messages
		s := &script{incoming: slices.Concat(accepted(t), slices.Collect(slices.Chunk(stream, size)))}
		p, err := openPortForward(s, s, 8642)
		if err != nil {
			t.Fatal(err)
		}
		s.sent = nil
		got, err := io.ReadAll(p)
		if err != nil || string(got) != "one two three" {
			t.Errorf("messages of %d bytes: got %q, %v", size, got, err)
		}
		if want := control(t, &spdy.PingFrame{Id: 2}); len(s.sent) != 1 || !bytes.Equal(s.sent[0], want[0]) {
			t.Errorf("answered %q, want the server's own ping only", s.sent)
		}
	}
}

func TestPortForwardEnds(t *testing.T) {
	tests := map[string]struct {
		incoming [][]byte
		kind     int
		want     string
	}{
		"report":           {[][]byte{data(errorStream, 0, "connection "), data(errorStream, finFlag, "refused")}, 0, "the kubelet reports: connection refused"},
		"report, no FIN":   {[][]byte{data(errorStream, 0, "x")}, 0, "EOF"},
		"reset":            {control(t, &spdy.RstStreamFrame{StreamId: dataStream, Status: spdy.InternalError}), 0, "ended the port-forward"},
		"another's reset":  {slices.Concat(control(t, &spdy.RstStreamFrame{StreamId: 9, Status: spdy.InternalError})), 0, "EOF"},
		"going away":       {control(t, &spdy.GoAwayFrame{}), 0, "is ending the port-forward"},
		"cut in a header":  {[][]byte{{0, 0, 0}}, 0, "unexpected EOF"},
		"huge control":     {[][]byte{{0x80, 3, 0, 4, 0, 0xff, 0xff, 0xff}}, 0, "control frame of 16777215 bytes"},
		"unknown control":  {[][]byte{{0x80, 3, 0, 99, 0, 0, 0, 0}}, 0, "control frame"},
		"text, not binary": {[][]byte{[]byte("hello")}, websocket.TextMessage, "not WebSocket messages"},
	}
	for name, test := range tests {
		s := &script{incoming: accepted(t)}
		p, err := openPortForward(s, s, 8642)
		if err != nil {
			t.Fatal(err)
		}
		s.incoming, s.kind = test.incoming, test.kind
		if _, err := p.Read(make([]byte, 100)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	s := &script{incoming: control(t, &spdy.RstStreamFrame{StreamId: dataStream, Status: spdy.RefusedStream})}
	if _, err := openPortForward(s, s, 8642); err == nil {
		t.Error("a port-forward that is refused opens")
	}
}

// Whatever a server sends, reading ends, and never holds more than a frame's worth.
func FuzzPortForward(f *testing.F) {
	f.Add(slices.Concat(data(dataStream, 0, "hello"), data(errorStream, finFlag, "report")), 3)
	f.Add(slices.Concat(control(f, &spdy.PingFrame{Id: 2}, &spdy.GoAwayFrame{}, &spdy.SynReplyFrame{StreamId: 5})...), 100)
	f.Add([]byte{0x80, 3, 0, 2, 0, 0xff, 0xff, 0xff}, 8)
	f.Add([]byte{0, 0, 0, 1, 0, 0xff, 0xff, 0xff, 'x'}, 1)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		s := &script{incoming: accepted(t)}
		p, err := openPortForward(s, s, 8642)
		if err != nil {
			t.Fatal(err)
		}
		if len(stream) > 0 {
			s.incoming = slices.Collect(slices.Chunk(stream, min(max(size, 1), len(stream))))
		}
		got, err := io.ReadAll(p)
		if len(got) > len(stream) {
			t.Errorf("%d bytes of %d", len(got), len(stream))
		}
		if len(p.report) > errorText {
			t.Errorf("a report of %d bytes is kept", len(p.report))
		}
		if errors.Is(err, io.ErrNoProgress) {
			t.Error(err)
		}
	})
}

// BenchmarkPortForward is what a datagram of an acknowledgement's size costs to send.
func BenchmarkPortForward(b *testing.B) {
	s := &script{incoming: accepted(b)}
	p, err := openPortForward(s, s, 8642)
	if err != nil {
		b.Fatal(err)
	}
	datagram := make([]byte, 98)
	b.SetBytes(int64(len(datagram)))
	for b.Loop() {
		s.sent = s.sent[:0]
		if _, err := p.Write(datagram); err != nil {
			b.Fatal(err)
		}
	}
}
