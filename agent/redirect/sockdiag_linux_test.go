// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// diagMessage is what a kernel answers about a connection of ours.
func diagMessage(t testing.TB) []byte {
	data := make([]byte, messageSize)
	data[0], data[1] = unix.AF_INET, stateEstablished
	binary.BigEndian.PutUint16(data[4:], 8080)
	binary.BigEndian.PutUint16(data[6:], 40000)
	copy(data[8:], []byte{10, 244, 0, 2})
	copy(data[24:], []byte{10, 244, 0, 9})
	binary.NativeEndian.PutUint32(data[56:], 3)
	binary.NativeEndian.PutUint32(data[60:], 7)
	info := make([]byte, 160)
	for offset, value := range map[int]uint32{44: 20, 52: 30, 56: 10, 120: 1000, 128: 500, 144: 2, 152: 5, 156: 6} {
		binary.NativeEndian.PutUint32(info[offset:], value)
	}
	marked := make([]byte, 4)
	binary.NativeEndian.PutUint32(marked, mark<<16)
	attributes, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: diagInfo, Data: info}, {Type: diagMark, Data: marked}})
	if err != nil {
		t.Fatal(err)
	}
	return append(data, attributes...)
}

func TestParseConnection(t *testing.T) {
	c, err := parseConnection(diagMessage(t))
	if err != nil {
		t.Fatal(err)
	}
	if c.Local != netip.MustParseAddrPort("10.244.0.2:8080") || c.Remote != netip.MustParseAddrPort("10.244.0.9:40000") || !c.ours {
		t.Errorf("%+v", c)
	}
	if c.Unread != 3 || c.Unacknowledged != 7 || c.Unsent != 2 || c.Sent != 1007 || c.Received != 500 {
		t.Errorf("%+v", c)
	}
	if c.LastSent != 20*time.Millisecond || c.LastReceived != 30*time.Millisecond || c.LastAck != 10*time.Millisecond {
		t.Errorf("%+v", c)
	}
	if c.SegmentsIn != 5 || c.SegmentsOut != 6 {
		t.Errorf("%+v", c)
	}
}

func FuzzParseConnection(f *testing.F) {
	f.Add(diagMessage(f))
	f.Add(diagMessage(f)[:messageSize])
	f.Add(diagMessage(f)[:messageSize+30])
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseConnection(data) })
}

func TestLacks(t *testing.T) {
	for status, want := range map[string]string{
		"Name:\tx\nCapEff:\t000001ffffffffff\n": "",
		"CapEff:\t0000008000001000\n":           "",
		"CapEff:\t0000008000000000\n":           "CAP_NET_ADMIN",
		"CapEff:\t0000000000001000\n":           "CAP_BPF",
		"CapEff:\t0000000000000000\n":           "CAP_BPF and CAP_NET_ADMIN",
		"":                                      "CAP_BPF and CAP_NET_ADMIN",
	} {
		if got := lacks(status); got != want {
			t.Errorf("%q lacks %q, want %q", status, got, want)
		}
	}
}
