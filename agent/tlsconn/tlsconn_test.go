// SPDX-License-Identifier: Apache-2.0

package tlsconn

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"testing/iotest"
	"time"
)

// pair returns both ends of a connection over loopback.
func pair(t *testing.T) (server, client *Conn) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	there, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	here, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	server = Server(here, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}, SessionTicketsDisabled: true})
	client = Client(there, &tls.Config{InsecureSkipVerify: true})
	return server, client
}

func TestEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end     func(*Conn) error
		orderly bool
	}{
		"goodbye":             {func(c *Conn) error { return c.CloseWrite() }, true},
		"goodbye and the end": {func(c *Conn) error { return c.Close() }, true},
		"the end alone":       {func(c *Conn) error { return c.NetConn().Close() }, false},
		"a reset":             {func(c *Conn) error { c.Reset(); return nil }, false},
	} {
		server, client := pair(t)
		go func() {
			_, _ = io.WriteString(server, "half an answer")
			_, _ = io.ReadFull(server, make([]byte, 1)) // it has arrived
			_ = c.end(server)
		}()
		got := make([]byte, len("half an answer"))
		if _, err := io.ReadFull(client, got); err != nil || string(got) != "half an answer" {
			t.Fatalf("%s: read %q, %v", name, got, err)
		}
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		for range 2 { // it stays so
			if _, err := client.Read(make([]byte, 1)); (err == io.EOF) != c.orderly || err == nil {
				t.Errorf("%s: the end is %v", name, err)
			}
		}
	}
}

// What goes in comes out, whatever the sizes of writes and reads.
func TestBytes(t *testing.T) {
	for name, reader := range map[string]func(io.Reader) io.Reader{
		"large reads": func(r io.Reader) io.Reader { return r },
		"half reads":  iotest.HalfReader,
		"small reads": func(r io.Reader) io.Reader { return smallReader{r} },
	} {
		server, client := pair(t)
		sizes := []int{1, 100, maxRecord, maxRecord + 1, 3, bulk - 1, bulk, bulk + 1, 10*bulk + 7, 1, 5 << 20, 1}
		var want bytes.Buffer
		for _, size := range sizes {
			_, _ = io.CopyN(&want, rand.Reader, int64(size))
		}
		go func() {
			rest := want.Bytes()
			for _, size := range sizes {
				if n, err := server.Write(rest[:size]); err != nil || n != size {
					t.Errorf("%s: wrote %d of %d: %v", name, n, size, err)
				}
				rest = rest[size:]
			}
			_ = server.CloseWrite()
		}()
		got, err := io.ReadAll(reader(client))
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), want.Len(), err)
		}
	}
}

type smallReader struct{ r io.Reader }

func (s smallReader) Read(b []byte) (int, error) { return s.r.Read(b[:min(len(b), 777)]) }

// A write to a connection that nobody reads from ends when it is closed.
func TestCloseEndsWrites(t *testing.T) {
	server, client := pair(t)
	done := make(chan error, 1)
	go func() {
		chunk := make([]byte, 4*bulk)
		for {
			if _, err := server.Write(chunk); err != nil {
				done <- err
				return
			}
		}
	}()
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	server.Reset()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("the write goes on")
	}
}

// recordsOf is a stream of records with contents of those sizes, and where each ends.
func recordsOf(sizes []uint16) (stream []byte, ends map[int]bool) {
	ends = map[int]bool{0: true}
	for _, size := range sizes {
		stream = append(stream, 23, 3, 3, byte(size>>8), byte(size))
		stream = append(stream, make([]byte, size)...)
		ends[len(stream)] = true
	}
	return stream, ends
}

func TestRecords(t *testing.T) {
	stream, ends := recordsOf([]uint16{1, 0, 16 << 10, 300})
	for step := 1; step < 400; step++ {
		var r records
		for at := 0; at < len(stream); {
			next := min(at+step, len(stream))
			r.pass(stream[at:next])
			if at = next; r.within() == ends[at] {
				t.Fatalf("in steps of %d: within a record %v after %d bytes", step, r.within(), at)
			}
		}
	}
}

func FuzzRecords(f *testing.F) {
	f.Add([]byte{0, 1, 64, 0, 1, 44}, []byte{3, 5, 200})
	f.Fuzz(func(t *testing.T, sizes, steps []byte) {
		var list []uint16
		for i := 0; i+1 < len(sizes) && i < 64; i += 2 {
			list = append(list, uint16(sizes[i])<<8|uint16(sizes[i+1]))
		}
		stream, ends := recordsOf(list)
		var r records
		at := 0
		for _, step := range steps {
			next := min(at+int(step), len(stream))
			r.pass(stream[at:next])
			if at = next; r.within() == ends[at] {
				t.Fatalf("within a record %v after %d bytes", r.within(), at)
			}
		}
	})
}
