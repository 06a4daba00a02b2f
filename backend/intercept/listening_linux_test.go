// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1
   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 2
   2: 0100007F:0BB9 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 3
`

const table6 = `  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A 0
   1: 00000000000000000000000001000000:0BBA 00000000000000000000000000000000:0000 0A 0
   2: 0000000000000000FFFF00000100007F:0BBB 00000000000000000000000000000000:0000 0A 0
`

func TestTableHas(t *testing.T) {
	if !littleEndian {
		t.Log("the tables here are those of machines with the other byte order")
		return
	}
	for _, test := range []struct {
		table, at string
		want      bool
	}{
		{table, "127.0.0.1:3000", true},
		{table, "127.0.0.2:3000", false},
		{table, "127.0.0.1:8080", true},  // on all addresses
		{table, "127.0.0.1:3001", false}, // a connection, not a listener
		{table, "[::1]:3000", false},
		{table6, "127.0.0.1:3000", true}, // on all addresses of both families
		{table6, "[::1]:3000", true},
		{table6, "[::1]:3002", true},
		{table6, "127.0.0.1:3002", false},
		{table6, "127.0.0.1:3003", true}, // mapped
		{"", "127.0.0.1:1", false},
		{"x\ny z\n1: zz:zz a 0A\n", "127.0.0.1:1", false},
	} {
		if got := tableHas(strings.NewReader(test.table), "0A", netip.MustParseAddrPort(test.at)); got != test.want {
			t.Errorf("%s: got %v", test.at, got)
		}
	}
}

func TestSystemListens(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6"} {
		address := map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"}[network]
		listener, err := net.Listen(network, address)
		if err != nil {
			t.Logf("no %s here: %v", network, err)
			continue
		}
		at := netip.MustParseAddrPort(listener.Addr().String())
		if listens, known := systemListens("TCP", at); !listens || !known {
			t.Errorf("%s is not seen (%v)", at, known)
		}
		listener.Close()
		if listens, _ := systemListens("TCP", at); listens {
			t.Errorf("%s is seen after it was closed", at)
		}
	}
}

func FuzzParseSocket(f *testing.F) {
	for _, seed := range []string{"0100007F:0BB8", "00000000000000000000000001000000:0BBA", ":", "0:0", "zz:zz"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if at, ok := parseSocket(text); ok && !at.IsValid() {
			t.Errorf("%q became %v", text, at)
		}
	})
}
