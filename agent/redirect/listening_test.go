// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"strings"
	"testing"
	"testing/fstest"
)

const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

// Files as a little-endian kernel writes them.
const (
	tcpFile = heading +
		"   0: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0\n" +
		"   1: 0200F40A:1F92 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0\n" +
		"   2: 00000000:1F93 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1 0\n" +
		"   3: 0200F40A:1F94 0100F40A:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4 1 0\n" +
		"   4: 0200F40A:1F95 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5 1 0\n"
	tcp6File = heading +
		"   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 6 1 0\n" +
		"   1: 000000FD440210000000000002000000:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1 0\n" +
		"   2: 0000000000000000FFFF00000200F40A:1F96 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 8 1 0\n"
	udpFile = heading +
		"  10: 0200F40A:9C41 0100F40A:0035 01 00000000:00000000 00:00000000 00000000     0        0 9 2 0 0\n" +
		"  11: 00000000:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 10 2 0 0\n"
)

func TestListening(t *testing.T) {
	table, err := fromProc(fstest.MapFS{
		"self/net/tcp": {Data: []byte(tcpFile)}, "self/net/tcp6": {Data: []byte(tcp6File)}, "self/net/udp": {Data: []byte(udpFile)},
	})
	if err != nil {
		t.Fatal(err)
	}
	both, four := Families{true, true}, Families{IPv4: true}
	for _, test := range []struct {
		protocol Protocol
		port     uint16
		want     Families
		why      string
	}{
		{TCP, 8080, both, "no address of IPv6 is all addresses"},
		{TCP, 8081, both, "at loopback the sidecar reaches it for every caller"},
		{TCP, 8082, both, "one address of each family"},
		{TCP, 8083, four, "no address of IPv4 is those of IPv4"},
		{TCP, 8084, Families{}, "a connection listens to nobody"},
		{TCP, 8085, Families{}, "listening sockets come first; the rest is not read"},
		{TCP, 8086, four, "an IPv4 address in an IPv6 socket"},
		{UDP, 5353, four, "a socket without a peer"},
		{UDP, 40001, Families{}, "a socket with a peer hears nobody else"},
		{UDP, 8080, Families{}, "the port of the other protocol"},
	} {
		if got := table.Open(test.protocol, test.port); got != test.want {
			t.Errorf("%s %d is open for %v, want %v: %s", test.protocol, test.port, got, test.want, test.why)
		}
	}
}

func TestListeningOfWhatIsWrong(t *testing.T) {
	for _, line := range []string{"", "0: 1", "0: xyz:1F90 0:0 0A", "0: 0100007F 0:0 0A", "0: 0100007F:XYZW 0:0 0A", "0: 01007F:1F90 0:0 0A"} {
		if _, err := fromProc(fstest.MapFS{"self/net/tcp": {Data: []byte(heading + line + "\n")}}); err == nil {
			t.Errorf("%q was understood", line)
		}
	}
}

func FuzzListening(f *testing.F) {
	for _, seed := range []string{tcpFile, tcp6File, udpFile, heading, "", heading + "0: 0100007F:1F90 0:0 0A"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, protocol := range []Protocol{TCP, UDP} {
			table := Table{}
			if err := table.add(protocol, strings.NewReader(text)); err != nil {
				continue
			}
			for name, families := range table {
				if !families.Any() || name.protocol != protocol {
					t.Errorf("%v is open for %v", name, families)
				}
			}
		}
	})
}
