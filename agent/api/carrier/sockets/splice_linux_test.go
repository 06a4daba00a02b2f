// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// tcpPair are the two ends of a connection.
func tcpPair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	one, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	two, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { one.Close(); two.Close() })
	return one.(*net.TCPConn), two.(*net.TCPConn)
}

func TestMoveBytes(t *testing.T) {
	const size = 5<<20 + 321
	sent := make([]byte, size)
	for i := range sent {
		sent[i] = byte(rand.Uint32())
	}
	for _, c := range []struct {
		name  string
		n     int64
		moved int64
		err   error
	}{
		{"a part", 3<<20 + 7, 3<<20 + 7, nil},
		{"exactly all", size, size, nil},
		{"until the end", -1, size, nil},
		{"more than comes", size + 1, size, io.EOF},
		{"nothing", 0, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			source, from := tcpPair(t)
			to, sink := tcpPair(t)
			go func() {
				_, _ = source.Write(sent)
				_ = source.CloseWrite()
			}()
			got := make(chan []byte, 1)
			go func() {
				b, _ := io.ReadAll(sink)
				got <- b
			}()
			moved, err := moveBytes(to, from, c.n)
			if moved != c.moved || !errors.Is(err, c.err) {
				t.Errorf("moved %d bytes, error %v; want %d, %v", moved, err, c.moved, c.err)
			}
			to.Close()
			if b := <-got; !bytes.Equal(b, sent[:c.moved]) {
				t.Errorf("%d bytes came, and not the ones that were sent", len(b))
			}
		})
	}
}

// TestMoveBytesIsWoken has a deadline end a move, which goes on afterwards where it stopped.
func TestMoveBytesIsWoken(t *testing.T) {
	source, from := tcpPair(t)
	to, sink := tcpPair(t)
	if _, err := source.Write([]byte("before ")); err != nil {
		t.Fatal(err)
	}
	came := make([]byte, 7)
	go func() {
		_, _ = io.ReadFull(sink, came)
		_ = from.SetReadDeadline(time.Unix(1, 0))
	}()
	moved, err := moveBytes(to, from, 100)
	if moved != 7 || !isDeadline(err) || string(came) != "before " {
		t.Fatalf("moved %d bytes, %q, error %v; want a deadline after 7", moved, came, err)
	}
	_ = from.SetReadDeadline(time.Time{})
	if _, err := source.Write([]byte("after")); err != nil {
		t.Fatal(err)
	}
	if moved, err = moveBytes(to, from, 5); moved != 5 || err != nil {
		t.Fatalf("moved %d bytes, error %v; want 5", moved, err)
	}
	// The one who takes nothing more ends it, too.
	_, _ = source.Write([]byte("for nobody"))
	_ = to.Close()
	if _, err = moveBytes(to, from, -1); err == nil {
		t.Error("no error for a closed connection")
	}
}
