// SPDX-License-Identifier: Apache-2.0

package http1

import "bytes"

// AppendForwarded appends head, which is the request's own, with the caller's address in X-Forwarded-For. An upgrade to HTTP/2
// is left out, as a server may that does not know it (RFC 9110, section 7.8): what came after it could not be told apart any
// more.
func (r *Request) AppendForwarded(to, head []byte, client string) []byte {
	if r.forwardedEnd > 0 {
		to = append(to, head[:r.forwardedEnd]...)
		if head[r.forwardedEnd-1] == ':' {
			to = append(append(to, ' '), client...)
		} else {
			to = append(append(to, ", "...), client...)
		}
		to = append(to, head[r.forwardedEnd:]...)
	} else {
		to = append(to, head[:len(head)-2]...)
		to = append(append(append(to, "X-Forwarded-For: "...), client...), "\r\n\r\n"...)
	}
	if !r.H2C {
		return to
	}
	plain := make([]byte, 0, len(to))
	for line := range bytes.SplitAfterSeq(to, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch string(bytes.ToLower(name)) {
		case "upgrade", "http2-settings":
			continue
		case "connection":
			if !hasOption(trim(bytes.TrimSpace(value)), "close") {
				continue
			}
			line = []byte("Connection: close\r\n")
		}
		plain = append(plain, line...)
	}
	return plain
}
