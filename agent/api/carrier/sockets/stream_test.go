// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestUnwatched: such a connection behaves as any other.
func TestUnwatched(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		t.Run(network, func(t *testing.T) {
			listener, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			plain, err := net.Dial(network, listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer plain.Close()
			accepted, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			conn := Unwatched(accepted)
			defer conn.Close()

			sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // more than sockets hold
			done := make(chan error, 1)
			go func() {
				n, err := conn.Write(sent)
				if err == nil && n != len(sent) {
					err = io.ErrShortWrite
				}
				done <- err
			}()
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(plain, got); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("what was written came differently: %v", err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}

			if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if n, err := conn.Read(got); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("nothing came: %d, %v", n, err)
			}
			if err := conn.SetReadDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
			if _, err := plain.Write([]byte("end")); err != nil {
				t.Fatal(err)
			}
			if err := plain.Close(); err != nil {
				t.Fatal(err)
			}
			if all, err := io.ReadAll(conn); err != nil || string(all) != "end" {
				t.Errorf("got %q, %v", all, err)
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(got); !errors.Is(err, net.ErrClosed) {
				t.Errorf("read after close: %v", err)
			}
			if _, err := conn.Write(got); !errors.Is(err, net.ErrClosed) {
				t.Errorf("write after close: %v", err)
			}
		})
	}
	near, far := net.Pipe()
	defer far.Close()
	if Unwatched(near) != near {
		t.Error("one without a descriptor is not left as it is")
	}
}
