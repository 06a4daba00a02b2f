// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
)

// record makes a TLS record of a kind with size bytes in it.
func record(kind byte, size int) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{kind, 3, 3}, uint16(size)), make([]byte, size)...)
}

// Only a whole record with data, behind whole ones, is here.
func TestDataIsHere(t *testing.T) {
	large, small := record(23, dataRecord), record(23, 21)
	for name, test := range map[string]struct {
		ahead []byte
		want  bool
	}{
		"nothing":               {nil, false},
		"half a header":         {large[:3], false},
		"half a record":         {large[:len(large)-1], false},
		"a record":              {large, true},
		"behind a header":       {append(bytes.Clone(small), large...), true},
		"half a record, behind": {append(bytes.Clone(small), large[:100]...), false},
		"headers only":          {append(bytes.Clone(small), small...), false},
	} {
		c := &bufferedConn{reader: bufio.NewReaderSize(bytes.NewReader(test.ahead), readBuffer), secure: true}
		_, _ = c.reader.Peek(1)
		if got := c.dataIsHere(); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// A read never goes beyond a record, and what is not TLS is left alone.
func TestReadsEndWithRecords(t *testing.T) {
	stream := append([]byte("HTTP/1.1 200 OK\r\n\r\n"), record(22, 300)...)
	words := len(stream) - 305
	stream = append(append(stream, record(23, 5000)...), record(21, 2)...)
	c := &bufferedConn{reader: bufio.NewReaderSize(io.MultiReader(
		bytes.NewReader(stream[:words]), bytes.NewReader(stream[words:])), readBuffer), secure: true}
	var all []byte
	var sizes []int
	buffer := make([]byte, 4000)
	for {
		n, err := c.Read(buffer)
		all = append(all, buffer[:n]...)
		if n > 0 {
			sizes = append(sizes, n)
		}
		if err != nil {
			break
		}
	}
	if !bytes.Equal(all, stream) {
		t.Error("bytes have changed")
	}
	want := []int{words, 305, 4000, 1005, 7}
	if len(sizes) != len(want) {
		t.Fatalf("read %v, want %v", sizes, want)
	}
	for i := range want {
		if sizes[i] != want[i] {
			t.Fatalf("read %v, want %v", sizes, want)
		}
	}
}

// One read takes all that is here, and an error waits until that has been handed over.
func TestReadTakesWhatIsHere(t *testing.T) {
	pieces := 3
	p := &portForward{reading: strings.NewReader("abc"), left: 3}
	p.dataIsHere = func() bool {
		if pieces--; pieces == 0 {
			p.ended = true // the pod says no more
			return true
		}
		p.reading, p.left = strings.NewReader("abc"), 3
		return true
	}
	buffer := make([]byte, 100)
	if n, err := p.Read(buffer); string(buffer[:n]) != "abcabcabc" || err != nil {
		t.Errorf("%q, %v", buffer[:n], err)
	}
	if n, err := p.Read(buffer); n != 0 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
}
