// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
			moved, err := MoveBytes(to, from, c.n)
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
	moved, err := MoveBytes(to, from, 100)
	if moved != 7 || !errors.Is(err, os.ErrDeadlineExceeded) || string(came) != "before " {
		t.Fatalf("moved %d bytes, %q, error %v; want a deadline after 7", moved, came, err)
	}
	_ = from.SetReadDeadline(time.Time{})
	if _, err := source.Write([]byte("after")); err != nil {
		t.Fatal(err)
	}
	if moved, err = MoveBytes(to, from, 5); moved != 5 || err != nil {
		t.Fatalf("moved %d bytes, error %v; want 5", moved, err)
	}
	// The one who takes nothing more ends it, too.
	_, _ = source.Write([]byte("for nobody"))
	_ = to.Close()
	if _, err = MoveBytes(to, from, -1); err == nil {
		t.Error("no error for a closed connection")
	}
}

// TestMoveBytesGathers has a stream that brings much pause, go on in small pieces, and end: each byte arrives while the stream is
// open, and afterwards the connection is read as before. Of the pipes one takes less than what is gathered.
func TestMoveBytesGathers(t *testing.T) {
	for _, size := range []int{pipeSize, 16 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			p := newPipe()
			if _, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, size); err != nil {
				t.Fatal(err)
			}
			source, from := tcpPair(t)
			to, sink := tcpPair(t)
			fromRaw, _ := from.SyscallConn()
			toRaw, _ := to.SyscallConn()
			result := make(chan error, 1)
			go func() {
				_, err := moveThrough(p, toRaw, fromRaw, -1)
				result <- err
			}()
			pieces := [][]byte{make([]byte, 64<<20), make([]byte, 100), make([]byte, lowWater-1), make([]byte, 3*lowWater), make([]byte, 1)}
			for i, piece := range pieces {
				for k := range piece {
					piece[k] = byte(k>>8 ^ k ^ i)
				}
				go func() { _, _ = source.Write(piece) }()
				got := make([]byte, len(piece))
				_ = sink.SetReadDeadline(time.Now().Add(30 * time.Second))
				if n, err := io.ReadFull(sink, got); err != nil {
					t.Fatalf("piece %d: %v after %d of %d bytes", i, err, n, len(piece))
				}
				if !bytes.Equal(got, piece) {
					t.Fatalf("piece %d is not what was sent", i)
				}
			}
			_ = source.CloseWrite()
			if err := <-result; err != nil {
				t.Error(err)
			}
			var low int
			if err := fromRaw.Control(func(fd uintptr) { low, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT) }); err != nil || low != 1 {
				t.Errorf("the connection is ready to be read from %d bytes on, error %v; want 1", low, err)
			}
		})
	}
}

// TestGather is what becomes of streams that bring much, and little.
func TestGather(t *testing.T) {
	_, conn := tcpPair(t)
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	low := func() (bytes int) {
		_ = raw.Control(func(fd uintptr) { bytes, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT) })
		return bytes
	}
	g := gather{raw: raw}
	g.since, g.bytes = time.Now().Add(-2*muchTime), muchBytes-1
	if g.came(1); g.on.Load() || low() > 1 {
		t.Errorf("what came slowly: on %v, low water %d", g.on.Load(), low())
	}
	g.since, g.bytes = time.Now().Add(muchTime), muchBytes-1 // as if it came within no time at all
	if g.came(1); !g.on.Load() || low() != lowWater {
		t.Errorf("much came: on %v, low water %d", g.on.Load(), low())
	}
	if g.stop(); g.on.Load() || low() > 1 {
		t.Errorf("stopped: on %v, low water %d", g.on.Load(), low())
	}
	g.start()
	for deadline := time.Now().Add(30 * time.Second); g.on.Load() || low() > 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing comes: on %v, low water %d", g.on.Load(), low())
		}
	}
}
