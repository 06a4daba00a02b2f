// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"
)

// BenchmarkHTTP1 is what one request on a kept connection costs, with heads as browsers send them.
func BenchmarkHTTP1(b *testing.B) {
	request := []byte("GET /api/v1/orders/1234?expand=items HTTP/1.1\r\nHost: api.shop\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n" +
		"Accept-Encoding: gzip, deflate\r\nCookie: session=0123456789abcdef\r\nx-fairlead: ann-7f3c\r\nX-Forwarded-For: 10.244.1.7\r\n\r\n")
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 512\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n\r\n" + strings.Repeat("x", 512))
	o := NewLog().Observe(Flow{Intercept: "i", HTTP: true, Client: "10.244.1.7"})
	b.ReportAllocs()
	for b.Loop() {
		o.In(request)
		o.Out(answer)
	}
}

// BenchmarkHTTP2 is what one request with a body and trailers costs, as gRPC has them.
func BenchmarkHTTP2(b *testing.B) {
	o := NewLog().Observe(Flow{Intercept: "i", HTTP: true, Client: "10.244.1.7"})
	in, out := newTalk(b), newTalk(b)
	in.buffer.WriteString(xhttp2.ClientPreface)
	_ = in.framer.WriteSettings()
	o.In([]byte(in.take()))
	stream := uint32(1)
	once := func() ([]byte, []byte) {
		in.headers(stream, false, 1, ":method", "POST", ":path", "/shop.Orders/Get", ":authority", "api", "content-type", "application/grpc", "te", "trailers")
		in.data(stream, true, "hello")
		out.headers(stream, false, 1, ":status", "200", "content-type", "application/grpc")
		out.data(stream, false, "hello")
		out.headers(stream, true, 1, "grpc-status", "0")
		return []byte(in.take()), []byte(out.take())
	}
	request, answer := once()
	o.In(request)
	o.Out(answer)
	request, answer = once() // with headers from the tables, as all that follow
	b.ReportAllocs()
	for b.Loop() {
		o.In(request)
		o.Out(answer)
	}
}

// BenchmarkBody is what 32 KiB of a long body cost.
func BenchmarkBody(b *testing.B) {
	piece := []byte("8000\r\n" + strings.Repeat("x", 32<<10) + "\r\n")
	o := NewLog().Observe(Flow{})
	o.In([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"))
	b.SetBytes(int64(len(piece)))
	b.ReportAllocs()
	for b.Loop() {
		o.In(piece)
	}
}
