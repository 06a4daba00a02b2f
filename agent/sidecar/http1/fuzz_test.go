// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// FuzzRequestHead holds what is read as a request against the standard library's reading of the same bytes: whatever passes
// here must mean the same there, above all where it ends.
func FuzzRequestHead(f *testing.F) {
	for _, s := range []string{
		"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", "POST http://x/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: a, Close\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4 \r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Request
		if ReadRequest(b, &h) != Whole {
			return
		}
		if !bytes.HasSuffix(b[:h.Size], []byte("\r\n\r\n")) {
			t.Fatalf("the head ends with %q", b[:h.Size])
		}
		// The same head must be found when the bytes come one by one, and not before the last.
		var again Request
		for n := range h.Size {
			if ReadRequest(b[:n], &again) != Partly {
				t.Fatalf("%q is not a part of %q", b[:n], b[:h.Size])
			}
		}
		rewritten := h.AppendForwarded(nil, b[:h.Size], "10.0.0.9")
		if ReadRequest(rewritten, &again) != Whole || again.Size != len(rewritten) || again.framing.length != h.framing.length ||
			again.framing.chunked != h.framing.chunked || string(again.Method) != string(h.Method) || string(again.Path) != string(h.Path) {
			t.Fatalf("%q became %q", b[:h.Size], rewritten)
		}
		found := false
		for _, field := range again.Fields {
			found = found || strings.EqualFold(string(field.Name), "x-forwarded-for") && strings.HasSuffix(string(field.Value), "10.0.0.9")
		}
		if !found {
			t.Fatalf("no address in %q", rewritten)
		}

		source := bytes.NewReader(b)
		reader := bufio.NewReaderSize(source, MaxHead*2)
		theirs, err := http.ReadRequest(reader)
		if err != nil {
			return // they are stricter in what does not matter here, such as the syntax of targets
		}
		if theirs.Method != string(h.Method) {
			t.Fatalf("method %q, they %q", h.Method, theirs.Method)
		}
		if chunked := len(theirs.TransferEncoding) > 0; chunked != h.framing.chunked {
			t.Fatalf("chunked %v, they %v", h.framing.chunked, theirs.TransferEncoding)
		}
		if !h.framing.chunked && theirs.ContentLength != h.framing.length {
			t.Fatalf("length %d, they %d", h.framing.length, theirs.ContentLength)
		}
		end := h.Body()
		n, done, err := end.Take(b[h.Size:])
		if err != nil || !done && !end.Finished() {
			return // ours is not complete: nothing to compare
		}
		if _, err := io.Copy(io.Discard, theirs.Body); err != nil {
			return
		}
		if left := source.Len() + reader.Buffered(); left != len(b)-h.Size-n {
			t.Fatalf("%d bytes are left, for them %d, of %q", len(b)-h.Size-n, left, b)
		}
	})
}

// FuzzChunked holds the end of a chunked body against the standard library's reading, however the bytes are cut.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n00\r\nT: x\r\n\r\nrest", "a\r\n0123456789\r\n", "0x5\r\n", "5 \r\nhello\r\n", "5\nhello\n0\n\n"} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		whole := Body{kind: bodyChunked}
		n, done, err := whole.Take(b)
		parts := Body{kind: bodyChunked}
		at, partsDone := 0, false
		var partsErr error
		for at < len(b) && !partsDone && partsErr == nil {
			if bulk := parts.Bulk(); bulk > 0 { // as a splice does it
				skip := min(bulk, int64(len(b)-at), int64(cut)+1)
				partsDone = parts.Skip(skip)
				at += int(skip)
				continue
			}
			var took int
			took, partsDone, partsErr = parts.Take(b[at:min(len(b), at+int(cut)+1)])
			at += took
		}
		if at != n || partsDone != done || (partsErr == nil) != (err == nil) {
			t.Fatalf("whole: %d %v %v, in parts: %d %v %v", n, done, err, at, partsDone, partsErr)
		}
		if !done {
			return
		}
		source := bytes.NewReader(append([]byte("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"), b...))
		reader := bufio.NewReaderSize(source, 1<<20)
		theirs, err := http.ReadRequest(reader)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, theirs.Body); err != nil {
			return // such as a trailer that is no header line
		}
		if left := source.Len() + reader.Buffered(); left != len(b)-n {
			t.Fatalf("%d bytes are left, for them %d, of %q", len(b)-n, left, b)
		}
	})
}

// FuzzResponseHead does for answers what FuzzRequestHead does for requests.
func FuzzResponseHead(f *testing.F) {
	for _, s := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.0 200\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Response
		if ReadResponse(b, &h) != Whole {
			return
		}
		source := bytes.NewReader(b)
		reader := bufio.NewReaderSize(source, MaxHead*2)
		theirs, err := http.ReadResponse(reader, nil)
		if err != nil {
			return
		}
		if theirs.StatusCode != h.Status {
			t.Fatalf("status %d, they %d", h.Status, theirs.StatusCode)
		}
		end := h.Body(false)
		n, done, err := end.Take(b[h.Size:])
		if err != nil || !done || h.Status/100 == 1 {
			return
		}
		if _, err := io.Copy(io.Discard, theirs.Body); err != nil {
			return
		}
		if left := source.Len() + reader.Buffered(); left != len(b)-h.Size-n {
			t.Fatalf("%d bytes are left, for them %d, of %q", len(b)-h.Size-n, left, b)
		}
	})
}

// FuzzSniff holds that the verdict on the first bytes does not depend on how they are cut, once there is one.
func FuzzSniff(f *testing.F) {
	for _, s := range []string{Preface, "GET / HTTP/1.1\r\n", "\x16\x03\x01", "hello\r\n", "PURGE /x HTTP/1.1\r\n", "GET /\r\n", "\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		verdict := Undecided
		for n := range len(b) + 1 {
			got := Sniff(b[:n])
			if got == TLS { // as with anything else, the app is to read it
				got = Other
			}
			if verdict != Undecided && got != verdict {
				t.Fatalf("%q is %d, and with one byte more %d", b[:n-1], verdict, got)
			}
			if got != Doubtful {
				verdict = got
			}
		}
	})
}
