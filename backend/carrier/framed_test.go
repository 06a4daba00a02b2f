// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// framedPair is a framedConn and the WebSocket at its other end.
func framedPair(t testing.TB) (*framedConn, *websocket.Conn) {
	t.Helper()
	far := make(chan *websocket.Conn, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err == nil {
			far <- conn
		}
	}))
	t.Cleanup(server.Close)
	near, response, err := websocket.DefaultDialer.DialContext(t.Context(), strings.Replace(server.URL, "http", "ws", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	c := &framedConn{ws: near}
	t.Cleanup(func() { _ = near.Close() })
	return c, <-far
}

// spdyFrame is a data frame of stream 1.
func spdyFrame(payload []byte) []byte {
	frame := binary.BigEndian.AppendUint32(nil, 1)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(payload)))
	return append(frame, payload...)
}

func TestFramedConnSendsAFrameAsAMessage(t *testing.T) {
	c, far := framedPair(t)
	frames := [][]byte{spdyFrame([]byte("ack")), spdyFrame(nil), spdyFrame(bytes.Repeat([]byte("x"), 300_000)), spdyFrame([]byte("end"))}
	go func() {
		stream := slices.Concat(frames...)
		for _, size := range []int{4, 4, 1, 2, 9, 100_000, 1, 200_005} { // pieces as odd as can be
			c.Write(stream[:size]) //nolint:errcheck // the other end sees what arrives
			stream = stream[size:]
		}
		c.Write(stream) //nolint:errcheck // likewise
	}()
	for i, frame := range frames {
		_, got, err := far.ReadMessage()
		if err != nil || !bytes.Equal(got, frame) {
			t.Fatalf("message %d has %d bytes, want %d: %v", i, len(got), len(frame), err)
		}
	}
}

func TestFramedConnReadsAStream(t *testing.T) {
	c, far := framedPair(t)
	go func() {
		for _, message := range []string{"a", "", "bcd", "ef"} {
			far.WriteMessage(websocket.BinaryMessage, []byte(message)) //nolint:errcheck // the other end sees what arrives
		}
		far.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")) //nolint:errcheck // likewise
	}()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "abcdef" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFramedConnRefusesText(t *testing.T) {
	c, far := framedPair(t)
	if err := far.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a relay carries bytes, not text")
	}
}

// BenchmarkFramedConn is the cost of sending a datagram of an acknowledgement's size, as the SPDY library writes it.
func BenchmarkFramedConn(b *testing.B) {
	c, far := framedPair(b)
	go io.Copy(io.Discard, far.NetConn()) //nolint:errcheck // until the benchmark ends
	frame := spdyFrame(make([]byte, 98))
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		for _, piece := range [][]byte{frame[:4], frame[4:8], frame[8:]} {
			if _, err := c.Write(piece); err != nil {
				b.Fatal(err)
			}
		}
	}
}
