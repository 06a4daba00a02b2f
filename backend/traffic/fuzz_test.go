// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// fuzz shows the same bytes in different pieces: whatever they are, what is said of them is fit to be shown, and does not
// depend on the pieces but for how many bytes are counted where reading is given up.
func fuzz(f *testing.F, seeds [][2]string) {
	for _, seed := range seeds {
		f.Add(seed[0], seed[1], uint8(1))
		f.Add(seed[0], seed[1], uint8(200))
	}
	f.Fuzz(func(t *testing.T, in, out string, size uint8) {
		steps := []step{{"<", in}, {">", out}, {".", ""}}
		whole := show(steps, 1<<20, Flow{Client: "10.0.0.1"}, true)
		pieces := show(steps, int(size)+1, Flow{Client: "10.0.0.1"}, true)
		for _, line := range append(whole, pieces...) {
			if !utf8.ValidString(line) || strings.ContainsAny(line, "\x00\r\n\x1b") || len(line) > 2000 || strings.HasSuffix(line, " open") {
				t.Errorf("%q", line)
			}
		}
		if len(whole) > 0 && len(pieces) == 0 || len(whole) == 0 && len(pieces) > 0 {
			t.Errorf("whole %q, in pieces %q", whole, pieces)
		}
	})
}

func FuzzHTTP1(f *testing.F) {
	const get = "GET /a?b HTTP/1.1\r\nHost: api\r\nX-Forwarded-For: 10.0.0.2\r\n\r\n"
	fuzz(f, [][2]string{
		{get, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
		{get + get, "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\nall"},
		{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\nT: x\r\n\r\n"},
		{"GET /ws HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nxyz", "HTTP/1.1 101 x\r\n\r\nabc"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""}, {"\x16\x03", "x"}, {"", "220 mail"},
	})
}

func FuzzHTTP2(f *testing.F) {
	var in, out string
	for _, s := range conversation(f) {
		if s.direction == "<" {
			in += s.bytes
		} else {
			out += s.bytes
		}
	}
	fuzz(f, [][2]string{{in, out}, {in[:len(in)/2], out[:len(out)/2]}})
}
