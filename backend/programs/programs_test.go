// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
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

func TestTakes(t *testing.T) {
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
		got := false
		for e := range entries(strings.NewReader(test.table), tcpListen) {
			got = got || takes(e.local, netip.MustParseAddrPort(test.at))
		}
		if got != test.want {
			t.Errorf("%s: got %v", test.at, got)
		}
	}
}

func TestEntriesHaveTheirInodes(t *testing.T) {
	var inodes []uint64
	for e := range entries(strings.NewReader(table), tcpListen) {
		inodes = append(inodes, e.inode)
	}
	if !reflect.DeepEqual(inodes, []uint64{1, 2}) {
		t.Errorf("inodes %v", inodes)
	}
}

func TestAssemble(t *testing.T) {
	at := func(protocol, text string, pid int) socket {
		return socket{protocol, netip.MustParseAddrPort(text), pid}
	}
	own := []netip.Addr{netip.MustParseAddr("198.19.0.2")}
	processes := map[int]process{
		7: {name: "node", words: []string{"/usr/bin/node", "server.js", "--token=abc"}, folder: "/home/ann/shop"},
		8: {name: "fairlead"}, 9: {name: "Fairlead-Helper.exe"},
	}
	var got []string
	for _, p := range assemble([]socket{
		at("TCP", "[::]:8080", 7), at("TCP", "0.0.0.0:8080", 7), at("TCP", "127.0.0.1:3000", 7), at("TCP", "[::1]:3000", 7), at("UDP", "127.0.0.1:3000", 7),
		at("TCP", "127.0.0.1:4000", 8), at("TCP", "127.0.0.1:4001", 9), at("TCP", "198.19.0.2:53", 0), at("TCP", "127.0.0.1:8080", 0),
		at("TCP", "172.17.0.1:9", 7), at("TCP", "172.18.0.1:9", 7),
	}, processes, own) {
		got = append(got, fmt.Sprint(p.Port, p.Protocol, " ", p.Address, " ", p.PID, " ", p.Name, " ", p.Command, " ", p.Folder))
	}
	const node = " 7 node node server.js --token=… /home/ann/shop"
	want := []string{
		"9TCP 172.17.0.1" + node, "9TCP 172.18.0.1" + node, "3000TCP 127.0.0.1" + node, "3000UDP 127.0.0.1" + node,
		"8080TCP 127.0.0.1 0   ", "8080TCP 0.0.0.0" + node,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestParseLsof(t *testing.T) {
	sockets, processes := parseLsof("p501\ncnode\nf21\ntIPv4\nPTCP\nn127.0.0.1:3000\nf22\ntIPv6\nPTCP\nn*:8080\np502\ncmy\\x20app\nf3\ntIPv4\nPUDP\nn*:5353\n" +
		"f4\ntIPv4\nPUDP\nn10.0.0.2:5000->10.0.0.3:53\nf5\ntIPv4\nPUDP\nn*:*\nf6\ntIPv6\nPTCP\nn[::1]:9000\n")
	want := []socket{
		{"TCP", netip.MustParseAddrPort("127.0.0.1:3000"), 501}, {"TCP", netip.MustParseAddrPort("[::]:8080"), 501},
		{"UDP", netip.MustParseAddrPort("0.0.0.0:5353"), 502}, {"TCP", netip.MustParseAddrPort("[::1]:9000"), 502},
	}
	if !reflect.DeepEqual(sockets, want) || processes[501].name != "node" || processes[502].name != "my app" {
		t.Errorf("got %v, %v", sockets, processes)
	}
}

func TestOwnerTables(t *testing.T) {
	for _, layout := range []tableLayout{tcp4Rows, tcp6Rows, udp4Rows, udp6Rows} {
		row := make([]byte, layout.row)
		row[layout.address+layout.size-1] = 1
		binary.BigEndian.PutUint16(row[layout.port:], 3000)
		binary.LittleEndian.PutUint32(row[layout.owner:], 77)
		if layout.size == 4 {
			row[layout.address] = 127
		}
		got := layout.parse(append([]byte{2, 0, 0, 0}, row...)) // says two, has one
		if len(got) != 1 || !got[0].at.Addr().IsLoopback() || got[0].at.Port() != 3000 || got[0].pid != 77 {
			t.Errorf("%+v: got %v", layout, got)
		}
		if layout.parse(nil) != nil {
			t.Error("something in nothing")
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

// FuzzTables gives the parsers of all systems the same bytes: what they make of them must be a list.
func FuzzTables(f *testing.F) {
	for _, seed := range []string{table, table6, "p1\ncx\nPTCP\nn*:80\n", "\x01\x00\x00\x00aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var sockets []socket
		for e := range entries(strings.NewReader(string(data)), tcpListen) {
			sockets = append(sockets, socket{protocol: "TCP", at: e.local})
		}
		found, processes := parseLsof(string(data))
		sockets = append(sockets, found...)
		for _, layout := range []tableLayout{tcp4Rows, tcp6Rows, udp4Rows, udp6Rows} {
			sockets = append(sockets, layout.parse(data)...)
		}
		for _, p := range assemble(sockets, processes, nil) {
			if p.Port < 0 || p.Port > 65535 || p.Address == "" {
				t.Errorf("%+v", p)
			}
		}
	})
}
