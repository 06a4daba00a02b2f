// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestRequestTravelsInOneFrame(t *testing.T) {
	var stream bytes.Buffer
	if err := WriteRequest(&stream, VerbDown, DownRequest{Session: "s"}); err != nil {
		t.Fatal(err)
	}
	stream.WriteString("raw bytes of a relay")

	frame, err := ReadFrame(&stream)
	if err != nil {
		t.Fatal(err)
	}
	var request Request
	var body DownRequest
	if err := errors.Join(DecodeStrict(frame, &request), DecodeStrict(request.Body, &body)); err != nil {
		t.Fatal(err)
	}
	if request.Verb != VerbDown || body.Session != "s" {
		t.Errorf("got verb %q, session %q", request.Verb, body.Session)
	}
	if rest := stream.String(); rest != "raw bytes of a relay" {
		t.Errorf("what follows the frame was read too; left is %q", rest)
	}
}

func TestReadFrameRefusesWhatIsOutOfBounds(t *testing.T) {
	for name, size := range map[string]uint32{"nothing": 0, "too much": MaxFrame + 1, "four gigabytes": 1<<32 - 1} {
		t.Run(name, func(t *testing.T) {
			stream := binary.BigEndian.AppendUint32(nil, size)
			_, err := ReadFrame(bytes.NewReader(stream))
			if refusal, ok := errors.AsType[*Error](err); !ok || refusal.Code != CodeBadRequest {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestReadFrameTellsAnEndFromABreak(t *testing.T) {
	if _, err := ReadFrame(strings.NewReader("")); !errors.Is(err, io.EOF) {
		t.Errorf("between frames: %v", err)
	}
	for name, stream := range map[string]string{"in the length": "\x00\x00", "in the message": "\x00\x00\x00\x05{}"} {
		if _, err := ReadFrame(strings.NewReader(stream)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWriteFrameRefusesWhatNobodyReads(t *testing.T) {
	var stream bytes.Buffer
	if err := WriteFrame(&stream, strings.Repeat("x", MaxFrame)); err == nil || stream.Len() != 0 {
		t.Errorf("got %v, %d bytes written", err, stream.Len())
	}
}

func TestDecodeStrict(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		ok   bool
	}{
		"empty":            {"", true},
		"known":            {`{"session":"a"}`, true},
		"unknown field":    {`{"session":"a","command":"rm"}`, false},
		"wrong type":       {`{"session":1}`, false},
		"two values":       {`{"session":"a"}{}`, false},
		"trailing garbage": {`{"session":"a"} x`, false},
		"not JSON":         {`session=a`, false},
		"array":            {`[]`, false},
	} {
		t.Run(name, func(t *testing.T) {
			var body DownRequest
			err := DecodeStrict([]byte(c.body), &body)
			if (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
			if _, refusal := errors.AsType[*Error](err); err != nil && !refusal {
				t.Errorf("%v is not an *Error", err)
			}
		})
	}
}

func TestReadReply(t *testing.T) {
	var stream bytes.Buffer
	later := `{"body":{"version":"0.2.0","protocol":1,"addedLater":true}}`
	stream.Write(binary.BigEndian.AppendUint32(nil, uint32(len(later))))
	stream.WriteString(later)
	var version VersionReply
	if err := ReadReply(&stream, &version); err != nil || version.Version != "0.2.0" {
		t.Errorf("a reply of a later helper: %+v, %v", version, err)
	}

	if err := WriteFrame(&stream, Reply{Error: &Error{Code: CodeBusy, Message: "busy", Hint: "wait"}}); err != nil {
		t.Fatal(err)
	}
	err := ReadReply(&stream, nil)
	if refusal, ok := errors.AsType[*Error](err); !ok || refusal.Code != CodeBusy || refusal.Hint != "wait" {
		t.Errorf("a refusal: %v", err)
	}

	if err := WriteReply(&stream, nil); err != nil {
		t.Fatal(err)
	}
	if err := ReadReply(&stream, nil); err != nil {
		t.Errorf("a reply without content: %v", err)
	}
}

// FuzzRequest holds that no bytes from a caller do more than be refused, and that what is accepted is within bounds.
func FuzzRequest(f *testing.F) {
	for _, request := range []any{
		Request{Verb: VerbVersion},
		UpRequest{Session: strings.Repeat("a", SessionLength), Tunnel: goodTunnel()},
		UpdateRequest{Session: strings.Repeat("a", SessionLength), DNS: goodTunnel().DNS},
		PrepareRequest{Protocol: Protocol},
	} {
		body, err := json.Marshal(request)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	}
	f.Add([]byte{0, 0, 0, 1, '{'})
	f.Fuzz(func(t *testing.T, stream []byte) {
		body, err := ReadFrame(bytes.NewReader(stream))
		if err != nil {
			return
		}
		for _, message := range []interface{ Validate() error }{
			new(PrepareRequest), new(UpRequest), new(UpdateRequest), new(DownRequest), new(WatchRequest), new(CarrierRequest),
		} {
			if DecodeStrict(body, message) != nil || message.Validate() != nil {
				continue
			}
			if up, ok := message.(*UpRequest); ok {
				checkHarmless(t, up.Tunnel)
			}
		}
	})
}

func checkHarmless(t *testing.T, tunnel Tunnel) {
	if len(tunnel.Routes) > MaxRoutes || len(tunnel.Peer.UDP) > MaxEndpoints || len(tunnel.Exempt) > MaxExempt {
		t.Error("a list is out of bounds")
	}
	for _, route := range tunnel.Routes {
		if route.Bits() < MinRouteBits4 || route.Addr().IsLoopback() || route.Addr().IsLinkLocalUnicast() || route.Addr().IsMulticast() {
			t.Errorf("route %s was accepted", route)
		}
	}
	if tunnel.DNS != nil && !strings.Contains(tunnel.DNS.ClusterDomain, ".") {
		t.Errorf("cluster domain %q was accepted", tunnel.DNS.ClusterDomain)
	}
}
