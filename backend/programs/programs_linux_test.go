// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
)

func TestListens(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6"} {
		address := map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"}[network]
		listener, err := net.Listen(network, address)
		if err != nil {
			t.Logf("no %s here: %v", network, err)
			continue
		}
		at := netip.MustParseAddrPort(listener.Addr().String())
		if listens, known := Listens("TCP", at); !listens || !known {
			t.Errorf("%s is not seen (%v)", at, known)
		}
		listener.Close()
		if listens, _ := Listens("TCP", at); listens {
			t.Errorf("%s is seen after it was closed", at)
		}
	}
}

func TestListFindsThisProgram(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	datagrams, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	found, note, err := List(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for protocol, address := range map[string]string{"TCP": listener.Addr().String(), "UDP": datagrams.LocalAddr().String()} {
		at := netip.MustParseAddrPort(address)
		i := slices.IndexFunc(found, func(p Program) bool {
			return p.Port == int(at.Port()) && p.Protocol == protocol && p.PID == os.Getpid()
		})
		if i < 0 {
			t.Errorf("%s %s is not in %+v", protocol, address, found)
			continue
		}
		if p := found[i]; p.Name != "programs.test" || p.Folder != folder || p.Command == "" || p.Address != "127.0.0.1" {
			t.Errorf("%+v", p)
		}
	}
	if !slices.IsSortedFunc(found, func(a, b Program) int { return a.Port - b.Port }) {
		t.Error("not in order")
	}
	t.Log(len(found), note)
}

func BenchmarkList(b *testing.B) {
	for b.Loop() {
		if _, _, err := List(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
