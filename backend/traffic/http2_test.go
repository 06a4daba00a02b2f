// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// talk writes one direction of an HTTP/2 connection.
type talk struct {
	t      testing.TB
	buffer bytes.Buffer
	framer *xhttp2.Framer
	packed bytes.Buffer
	packer *hpack.Encoder
}

func newTalk(t testing.TB) *talk {
	k := &talk{t: t}
	k.framer = xhttp2.NewFramer(&k.buffer, nil)
	k.packer = hpack.NewEncoder(&k.packed)
	return k
}

// headers writes a block of headers, given as name and value; pieces splits it.
func (k *talk) headers(stream uint32, end bool, pieces int, pairs ...string) {
	k.packed.Reset()
	for i := 0; i < len(pairs); i += 2 {
		if err := k.packer.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}); err != nil {
			k.t.Fatal(err)
		}
	}
	block := slices.Clone(k.packed.Bytes())
	size := len(block)/pieces + 1
	first := block[:min(size, len(block))]
	err := k.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: stream, BlockFragment: first, EndStream: end, EndHeaders: pieces == 1, PadLength: uint8(pieces)})
	for rest := block[len(first):]; err == nil && pieces > 1; {
		next := rest[:min(size, len(rest))]
		rest = rest[len(next):]
		err = k.framer.WriteContinuation(stream, len(rest) == 0, next)
		if len(rest) == 0 {
			break
		}
	}
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *talk) data(stream uint32, end bool, text string) {
	if err := k.framer.WriteData(stream, end, []byte(text)); err != nil {
		k.t.Fatal(err)
	}
}

// take returns what was written since it was last called.
func (k *talk) take() string {
	defer k.buffer.Reset()
	return k.buffer.String()
}

// conversation has a bit of everything that a connection may have.
func conversation(t testing.TB) []step {
	in, out := newTalk(t), newTalk(t)
	var steps []step
	said := func() {
		steps = append(steps, step{"<", in.take()}, step{">", out.take()})
	}
	in.buffer.WriteString(xhttp2.ClientPreface)
	_ = in.framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingHeaderTableSize, Val: 8192})
	_ = out.framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingHeaderTableSize, Val: 16384})
	said()
	in.packer.SetMaxDynamicTableSizeLimit(16384)
	in.packer.SetMaxDynamicTableSize(16384)
	_ = in.framer.WriteSettingsAck()
	in.headers(1, true, 1, ":method", "GET", ":path", "/a?b=c", ":authority", "api", ":scheme", "http", "x-forwarded-for", "10.0.0.7")
	in.headers(3, false, 3, ":method", "POST", ":path", "/shop.Orders/Get", ":authority", "api", "content-type", "application/grpc+proto", "te", "trailers")
	in.data(3, true, "12345")
	said()
	out.headers(1, false, 1, ":status", "200", "content-type", "text/plain")
	out.data(1, true, "hello")
	out.headers(3, false, 2, ":status", "200", "content-type", "application/grpc")
	out.data(3, false, "ok")
	out.headers(3, true, 1, "grpc-status", "5", "grpc-message", "no such order")
	said()
	in.headers(5, true, 1, ":method", "GET", ":path", "/slow", ":authority", "api")
	_ = in.framer.WriteRSTStream(5, xhttp2.ErrCodeCancel)
	in.headers(7, true, 1, ":method", "GET", ":path", "/refused", ":authority", "api")
	in.headers(9, false, 1, ":method", "CONNECT", ":protocol", "websocket", ":path", "/ws", ":authority", "api")
	in.headers(11, true, 1, ":method", "GET", ":path", "/never", ":authority", "api")
	_ = in.framer.WritePing(false, [8]byte{})
	_ = in.framer.WriteWindowUpdate(0, 99)
	said()
	_ = out.framer.WriteRSTStream(7, xhttp2.ErrCodeRefusedStream)
	out.headers(9, false, 1, ":status", "200")
	out.data(9, true, "xyz")
	said()
	return steps
}

func TestHTTP2(t *testing.T) {
	want := []string{
		`HTTP/2 GET api/a 200  out=5 10.0.0.7 ""`,
		`gRPC POST api/shop.Orders/Get 200 NOT_FOUND out=2 10.0.0.1 ""`,
		`HTTP/2 GET api/slow 0  out=0 10.0.0.1 "the caller has cancelled it"`,
		`HTTP/2 GET api/refused 0  out=0 10.0.0.1 "the program has cancelled it"`,
		`WebSocket CONNECT api/ws 200  out=3 10.0.0.1 ""`,
		`HTTP/2 GET api/never 0  out=0 10.0.0.1 "the connection ended before there was an answer"`,
	}
	for _, size := range []int{1 << 20, 100, 5, 1} {
		got := show(conversation(t), size, Flow{Client: "10.0.0.1", HTTP: true}, true)
		for i, line := range got {
			// Sizes of packed headers are the packer's affair.
			fields := strings.Fields(strings.Replace(line, " laptop", "", 1))
			for n, f := range fields {
				if strings.HasPrefix(f, "in=") {
					fields = slices.Delete(fields, n, n+1)
					break
				}
			}
			got[i] = strings.Join(fields, " ")
		}
		for i := range want {
			line := strings.Join(strings.Fields(want[i]), " ")
			if i >= len(got) || !sameButSent(got[i], line) {
				t.Errorf("%d bytes at a time, line %d: got\n%s\nwant\n%s", size, i, strings.Join(got, "\n"), line)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d bytes at a time: %d records", size, len(got))
		}
	}
}

// sameButSent compares lines; bytes sent are at least those of the body.
func sameButSent(got, want string) bool {
	var sent, least int
	cut := func(line string, n *int) string {
		i := strings.Index(line, "out=")
		if i < 0 {
			return line
		}
		_, _ = fmt.Sscanf(line[i:], "out=%d", n)
		rest := line[i:]
		return line[:i] + rest[strings.IndexByte(rest, ' '):]
	}
	return cut(got, &sent) == cut(want, &least) && sent >= least
}

func TestHTTP2ThatCanNotBeFollowedIsPlain(t *testing.T) {
	in := newTalk(t)
	in.buffer.WriteString(xhttp2.ClientPreface)
	in.headers(1, true, 1, ":method", "GET", ":path", "/", ":authority", "api")
	good := in.take()
	for name, bad := range map[string]string{
		"broken headers":      "\x00\x00\x02\x01\x04\x00\x00\x00\x03\xff\xff",
		"lost continuation":   "\x00\x00\x00\x09\x04\x00\x00\x00\x03",
		"interrupted headers": "\x00\x00\x00\x01\x00\x00\x00\x00\x03" + "\x00\x00\x00\x00\x00\x00\x00\x00\x01",
		"padding":             "\x00\x00\x01\x01\x0c\x00\x00\x00\x03\x09",
		"too long":            "\x02\x00\x00\x01\x04\x00\x00\x00\x03" + strings.Repeat("a", 1000),
	} {
		got := show([]step{{"<", good}, {"<", bad}, {"<", "more"}}, 1<<20, Flow{}, true)
		if len(got) != 2 || !strings.Contains(got[0], `"what followed could not be read"`) || !strings.HasPrefix(got[1], "TCP") {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
