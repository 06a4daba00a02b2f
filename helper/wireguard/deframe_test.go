// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

// frames makes a byte stream of datagrams.
func frames(t testing.TB, datagrams ...[]byte) []byte {
	t.Helper()
	var stream []byte
	for _, d := range datagrams {
		var err error
		if stream, err = carrier.AppendFrame(stream, d); err != nil {
			t.Fatal(err)
		}
	}
	return stream
}

// deframeAll takes a stream apart that comes in pieces of size bytes.
func deframeAll(stream []byte, size int, out []byte) (datagrams [][]byte, err error) {
	var d deframer
	for len(stream) > 0 {
		piece := stream[:min(size, len(stream))]
		stream = stream[len(piece):]
		for len(piece) > 0 {
			n, rest, err := d.next(piece, out)
			if err != nil {
				return datagrams, err
			}
			if n > 0 {
				datagrams = append(datagrams, bytes.Clone(out[:n]))
			}
			piece = rest
		}
	}
	return datagrams, nil
}

func TestDeframer(t *testing.T) {
	want := [][]byte{{1}, bytes.Repeat([]byte{2}, 300), {3, 3}, bytes.Repeat([]byte{4}, carrier.MaxDatagram), {5}}
	stream := frames(t, want...)
	for _, size := range []int{1, 2, 3, 7, 301, 65536, len(stream)} {
		got, err := deframeAll(stream, size, make([]byte, carrier.MaxDatagram))
		if err != nil || len(got) != len(want) {
			t.Fatalf("pieces of %d: %d datagrams, error %v", size, len(got), err)
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("pieces of %d: datagram %d differs", size, i)
			}
		}
	}
}

func TestDeframerRefuses(t *testing.T) {
	if _, err := deframeAll([]byte{0, 0}, 2, make([]byte, 10)); !errors.Is(err, carrier.ErrEmptyFrame) {
		t.Errorf("empty frame: %v", err)
	}
	if _, err := deframeAll([]byte{0, 0}, 1, make([]byte, 10)); !errors.Is(err, carrier.ErrEmptyFrame) {
		t.Errorf("empty frame in pieces: %v", err)
	}
	if _, err := deframeAll(frames(t, make([]byte, 11)), 100, make([]byte, 10)); err == nil {
		t.Error("a datagram larger than the buffer was taken")
	}
}

// FuzzDeframer compares the deframer with the reader of agent/api/carrier.
func FuzzDeframer(f *testing.F) {
	f.Add(frames(f, []byte("a"), []byte("bc")), 1)
	f.Add([]byte{0, 5, 1, 2}, 2)
	f.Add([]byte{0, 0, 1}, 3)
	f.Add([]byte{255, 255, 1}, 1)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		if size <= 0 {
			size = 1
		}
		got, err := deframeAll(stream, size, make([]byte, 1024))
		reader, buf := bytes.NewReader(stream), make([]byte, 1024)
		for i := 0; ; i++ {
			n, readErr := carrier.ReadDatagram(reader, buf)
			if readErr != nil {
				incomplete := errors.Is(readErr, io.EOF) || errors.Is(readErr, io.ErrUnexpectedEOF)
				if i != len(got) || (err == nil) != incomplete {
					t.Fatalf("%d datagrams and %v, the reader says %d and %v", len(got), err, i, readErr)
				}
				return
			}
			if i >= len(got) || !bytes.Equal(got[i], buf[:n]) {
				t.Fatalf("datagram %d differs", i)
			}
		}
	})
}
