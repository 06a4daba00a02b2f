// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// FuzzFrames holds that no bytes bring the reading of frames and header blocks down.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x00\x00\x01\x01\x05\x00\x00\x00\x01\x82"))
	f.Add([]byte("\x00\x00\x02\x00\x08\x00\x00\x00\x01\x01x\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82\x00\x00\x00\x09\x04\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		decoder := hpack.NewDecoder(4096, nil)
		var block headerBlock
		var buf []byte
		for {
			var fr frame
			var err error
			if fr, buf, err = readFrame(r, buf); err != nil {
				return
			}
			if content, ok := fr.content(); ok && len(content) > len(fr.payload) {
				t.Fatal("more content than payload")
			}
			if fr.kind == frameHeaders || fr.kind == frameContinuation {
				done, err := block.add(&fr)
				if err != nil {
					return
				}
				if done {
					if _, err := block.decode(decoder); err != nil {
						return
					}
				}
			}
		}
	})
}
