// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf/asm"

	"github.com/fairlead-dev/fairlead/tests/golden"
)

// TestPrograms compares what the kernel is given with what was looked at: testdata/*.txt.
func TestPrograms(t *testing.T) {
	for name, instructions := range map[string]asm.Instructions{
		"lookup": lookupInstructions(), "egress-ethernet": egressInstructions(14), "egress-plain": egressInstructions(0),
	} {
		t.Run(name, func(t *testing.T) {
			golden.Compare(t, filepath.Join("testdata", name+".txt"), fmt.Sprintf("%v", instructions))
		})
	}
}

func TestKeysOfPorts(t *testing.T) {
	const tcp4, tcp6, udp4 = 0x06021f90, 0x060a1f90, 0x11021f90
	for _, test := range []struct {
		port Port
		want []uint32
	}{
		{Port{TCP, 8080, Families{true, true}}, []uint32{tcp4, tcp6}},
		{Port{TCP, 8080, Families{IPv6: true}}, []uint32{tcp6}},
		{Port{UDP, 8080, Families{IPv4: true}}, []uint32{udp4}},
		{Port{UDP, 8080, Families{}}, nil},
	} {
		if got := test.port.keys(); fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%v %v: keys %x, want %x", test.port, test.port.Families, got, test.want)
		}
	}
}
