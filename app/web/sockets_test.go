// SPDX-License-Identifier: Apache-2.0

package web

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

const tcpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11 1 0000000000000000 100 0 0 10 0
   1: 0100007F:A001 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 12 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:A002 0100007F:1F90 06 00000000:00000000 03:00000A28 00000000     0        0 0 3 0000000000000000
   3: 0000000000000000FFFF00000100007F:A003 0000000000000000FFFF00000100007F:1F90 01 00000000:00000000 00:00000000 00000000  1003        0 14 1 0 20 4 30 10 -1
   4: broken 0100007F:1F90 01 0 0 0 1004 0 15
`

func TestSocketOwner(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Log("the table is of a machine with the other byte order")
		return
	}
	server := netip.MustParseAddrPort("127.0.0.1:8080")
	for _, test := range []struct {
		client string
		uid    uint32
		ok     bool
	}{
		{"127.0.0.1:40961", 1001, true},
		{"127.0.0.1:40962", 0, false}, // nobody holds it any more
		{"127.0.0.1:40963", 1003, true},
		{"127.0.0.1:40964", 0, false},
		{"127.0.0.2:40961", 0, false},
	} {
		if uid, ok := socketOwner([]byte(tcpTable), netip.MustParseAddrPort(test.client), server); uid != test.uid || ok != test.ok {
			t.Errorf("%s: %d, %v; want %d, %v", test.client, uid, ok, test.uid, test.ok)
		}
	}
}

func FuzzSocketOwner(f *testing.F) {
	f.Add([]byte(tcpTable))
	f.Add([]byte("0: :0 :0 0 0 0 0 0 0 1\n"))
	client, server := netip.MustParseAddrPort("127.0.0.1:40961"), netip.MustParseAddrPort("127.0.0.1:8080")
	f.Fuzz(func(t *testing.T, table []byte) {
		if uid, ok := socketOwner(table, client, server); !ok && uid != 0 {
			t.Errorf("nobody's socket has the owner %d", uid)
		}
	})
}
