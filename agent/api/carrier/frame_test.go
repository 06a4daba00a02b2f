// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestFrames(t *testing.T) {
	var stream []byte
	datagrams := [][]byte{{1}, bytes.Repeat([]byte{2}, 1500), bytes.Repeat([]byte{3}, MaxDatagram)}
	for _, d := range datagrams {
		var err error
		if stream, err = AppendFrame(stream, d); err != nil {
			t.Fatal(err)
		}
	}
	r := bytes.NewReader(stream)
	buf := make([]byte, MaxDatagram)
	for i, want := range datagrams {
		n, err := ReadDatagram(r, buf)
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Fatalf("datagram %d: %d bytes, %v", i, n, err)
		}
	}
	if _, err := ReadDatagram(r, buf); err != io.EOF {
		t.Errorf("at the end: %v, want EOF", err)
	}
}

// The bytes on the wire are a contract between versions.
func TestFrameOnTheWire(t *testing.T) {
	got, err := AppendFrame([]byte("x"), []byte("abc"))
	if err != nil || string(got) != "x\x00\x03abc" {
		t.Errorf("got %q, %v", got, err)
	}
	if string(Hello[:]) != "FLRELAY\x01" {
		t.Errorf("hello is %q", Hello)
	}
}

func TestAppendFrameRefuses(t *testing.T) {
	for name, d := range map[string][]byte{"empty": nil, "too large": make([]byte, MaxDatagram+1)} {
		if got, err := AppendFrame([]byte("kept"), d); err == nil || string(got) != "kept" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestReadDatagramRefuses(t *testing.T) {
	tests := map[string]struct {
		stream string
		size   int
		want   error
	}{
		"nothing":              {"", 10, io.EOF},
		"half a header":        {"\x00", 10, io.ErrUnexpectedEOF},
		"empty datagram":       {"\x00\x00", 10, ErrEmptyFrame},
		"cut short":            {"\x00\x04abc", 10, io.ErrUnexpectedEOF},
		"nothing after header": {"\x00\x04", 10, nil},
		"too large":            {"\x00\x0bhello world", 10, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n, err := ReadDatagram(bytes.NewReader([]byte(test.stream)), make([]byte, test.size))
			if err == nil || n != 0 {
				t.Fatalf("read %d bytes, %v", n, err)
			}
			if test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if test.want != io.EOF && err == io.EOF {
				t.Error("a broken stream looks like an orderly end")
			}
		})
	}
}

func TestReadHello(t *testing.T) {
	if err := ReadHello(bytes.NewReader(Hello[:])); err != nil {
		t.Error(err)
	}
	if err := ReadHello(bytes.NewReader([]byte("FLRELAY\x02"))); !errors.Is(err, ErrHello) {
		t.Errorf("another version: %v", err)
	}
	if err := ReadHello(bytes.NewReader([]byte("FLR"))); err == nil {
		t.Error("a cut greeting was accepted")
	}
}

// Whatever comes in, reading ends with an error or EOF, gives only whole datagrams, and what it gives can be framed
// again to the same bytes.
func FuzzReadDatagram(f *testing.F) {
	f.Add([]byte("\x00\x03abc"))
	f.Add([]byte("\x00\x00"))
	f.Add([]byte("\xff\xffabc"))
	f.Add([]byte("\x00\x01a\x00\x02bc\x00"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bytes.NewReader(stream)
		buf := make([]byte, MaxDatagram)
		var again []byte
		for {
			n, err := ReadDatagram(r, buf)
			if err != nil {
				break
			}
			if again, err = AppendFrame(again, buf[:n]); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(stream, again) {
			t.Errorf("%q became %q", stream, again)
		}
	})
}
