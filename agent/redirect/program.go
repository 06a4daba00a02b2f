// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// Names of the programs and maps.
const (
	lookupName  = "fairlead_lookup"
	egressName  = "fairlead_egress"
	portsName   = "ports"
	socketsName = "sockets"
	lifeName    = "life"
)

// What the kernel calls families, protocols and Ethernet types (linux/socket.h, linux/in.h, linux/if_ether.h).
const (
	familyIPv4 = 2
	familyIPv6 = 10

	protocolTCP      = 6
	protocolUDP      = 17
	protocolFragment = 44 // IPv6 fragment header

	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
)

// Fields of struct bpf_sk_lookup and struct __sk_buff (linux/bpf.h), in bytes from its beginning.
const (
	lookupFamily     = 8
	lookupProtocol   = 12
	lookupRemoteIPv4 = 16
	lookupRemoteIPv6 = 20
	lookupLocalIPv4  = 40
	lookupLocalIPv6  = 44
	lookupLocalPort  = 60

	packetMark     = 8
	packetProtocol = 16
)

const (
	skPass        = 1  // let the lookup end as decided (enum sk_action)
	skReplace     = 1  // BPF_SK_LOOKUP_F_REPLACE: of two sidecars in a pod the later one decides
	actNext       = -1 // TCX_NEXT: the next program, then the usual way
	csumMangled0  = 0x20
	csumHalfWords = 2

	// mark is in the upper half of the mark (SO_MARK) of every socket of the sidecar that stands for an app's; the lower half
	// is the app's port for datagrams, else 0. It tells them apart from the app's own, and says where replies leave from.
	mark = 0x464c

	// The value of the map life: when the process last gave a sign of life, in nanoseconds of the kernel's monotonic clock (8
	// bytes), and the thread that owns it (4 bytes), in which the kernel sets a bit when that thread ends.
	lifeStamp    = 0
	lifeOwner    = 8
	lifeSize     = 16
	ownerDied    = 0x40000000 // FUTEX_OWNER_DIED (linux/futex.h)
	flagMappable = 1 << 10    // BPF_F_MMAPABLE (linux/bpf.h)

	// staleAfter is for how long after the last sign of life of the process its redirects are in force: more than it is ever
	// kept from running where it is merely slow, less than callers wait. Nanoseconds.
	staleAfter = 1_500_000_000

	maxRedirects = 1024 // ports times families
	maxSockets   = 1024
)

// key of a redirected port, as the program computes it.
func key(protocol, family uint32, port uint16) uint32 {
	return protocol<<24 | family<<16 | uint32(port)
}

// lookup is the program that decides where new connections and datagrams of the pod go, with its maps: ports says by key
// which index of sockets has the one that takes them; life says whether the process lives: callers of one that is dead or
// stands still are redirected no more.
func lookup() *ebpf.CollectionSpec {
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			portsName:   {Name: portsName, Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: maxRedirects},
			socketsName: {Name: socketsName, Type: ebpf.SockMap, KeySize: 4, ValueSize: 8, MaxEntries: maxSockets},
			lifeName:    {Name: lifeName, Type: ebpf.Array, KeySize: 4, ValueSize: lifeSize, MaxEntries: 1, Flags: flagMappable},
		},
		Programs: map[string]*ebpf.ProgramSpec{
			lookupName: {
				Name: lookupName, Type: ebpf.SkLookup, AttachType: ebpf.AttachSkLookup, License: "Apache-2.0",
				Instructions: lookupInstructions(),
			},
		},
	}
}

func lookupInstructions() asm.Instructions {
	program := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R7, asm.R6, lookupFamily, asm.Word),
		asm.JEq.Imm(asm.R7, familyIPv4, "ipv4"),
		asm.JNE.Imm(asm.R7, familyIPv6, "pass"),
	}
	// Whoever calls from the address that is called is the pod itself.
	for word := int16(0); word < 4; word++ {
		program = append(program,
			asm.LoadMem(asm.R2, asm.R6, lookupRemoteIPv6+4*word, asm.Word),
			asm.LoadMem(asm.R3, asm.R6, lookupLocalIPv6+4*word, asm.Word),
			asm.JNE.Reg(asm.R2, asm.R3, "foreign"),
		)
	}
	return append(program,
		asm.Ja.Label("pass"),

		asm.LoadMem(asm.R2, asm.R6, lookupRemoteIPv4, asm.Word).WithSymbol("ipv4"),
		asm.LoadMem(asm.R3, asm.R6, lookupLocalIPv4, asm.Word),
		asm.JEq.Reg(asm.R2, asm.R3, "pass"),

		// index = ports[protocol << 24 | family << 16 | port]
		asm.LoadMem(asm.R2, asm.R6, lookupProtocol, asm.Word).WithSymbol("foreign"),
		asm.LSh.Imm(asm.R2, 24),
		asm.LSh.Imm(asm.R7, 16),
		asm.Or.Reg(asm.R2, asm.R7),
		asm.LoadMem(asm.R3, asm.R6, lookupLocalPort, asm.Word),
		asm.Or.Reg(asm.R2, asm.R3),
		asm.StoreMem(asm.RFP, -4, asm.R2, asm.Word),
		asm.LoadMapPtr(asm.R1, 0).WithReference(portsName),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),

		asm.LoadMem(asm.R2, asm.R0, 0, asm.Word),
		asm.StoreMem(asm.RFP, -8, asm.R2, asm.Word), // index

		// Does the process live? now - stamp > staleAfter with its sign, as clocks of two processors differ a little.
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, 0).WithReference(lifeName),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R2, asm.R0, lifeOwner, asm.Word),
		asm.JSet.Imm(asm.R2, ownerDied, "pass"),
		asm.LoadMem(asm.R7, asm.R0, lifeStamp, asm.DWord),
		asm.FnKtimeGetNs.Call(),
		asm.Sub.Reg(asm.R0, asm.R7),
		asm.JSGT.Imm(asm.R0, staleAfter, "pass"),

		// socket = sockets[index]
		asm.LoadMapPtr(asm.R1, 0).WithReference(socketsName),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -8),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),

		// If the kernel refuses the assignment, the usual way finds the app.
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Reg(asm.R2, asm.R7),
		asm.Mov.Imm(asm.R3, skReplace),
		asm.FnSkAssign.Call(),
		asm.Mov.Reg(asm.R1, asm.R7),
		asm.FnSkRelease.Call(),

		asm.Mov.Imm(asm.R0, skPass).WithSymbol("pass"),
		asm.Return(),
	)
}

// egress is the program that gives the datagrams of marked sockets the app's port as their source, where they leave the pod.
// network is where the IP header begins in a packet of the device: behind the Ethernet header, or at 0.
func egress(network int32) *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{
		Name: egressName, Type: ebpf.SchedCLS, AttachType: ebpf.AttachTCXEgress, License: "Apache-2.0",
		Instructions: egressInstructions(network),
	}
}

func egressInstructions(network int32) asm.Instructions {
	// load copies bytes of the packet to the stack.
	load := func(offset asm.Instruction, to, size int32) asm.Instructions {
		return asm.Instructions{
			asm.Mov.Reg(asm.R1, asm.R6),
			offset,
			asm.Mov.Reg(asm.R3, asm.RFP),
			asm.Add.Imm(asm.R3, to),
			asm.Mov.Imm(asm.R4, size),
			asm.FnSkbLoadBytes.Call(),
			asm.JSLT.Imm(asm.R0, 0, "pass"),
		}
	}
	var program asm.Instructions
	add := func(parts ...asm.Instructions) {
		for _, part := range parts {
			program = append(program, part...)
		}
	}
	add(
		asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1),
			asm.LoadMem(asm.R7, asm.R6, packetMark, asm.Word),
			asm.Mov.Reg(asm.R2, asm.R7),
			asm.RSh.Imm(asm.R2, 16),
			asm.JNE.Imm(asm.R2, mark, "pass"),
			asm.And.Imm(asm.R7, 0xffff), // the app's port
			asm.JEq.Imm(asm.R7, 0, "pass"),
			asm.LoadMem(asm.R2, asm.R6, packetProtocol, asm.Word),
			asm.HostTo(asm.BE, asm.R2, asm.Half),
			asm.JEq.Imm(asm.R2, etherIPv4, "ipv4"),
			asm.JNE.Imm(asm.R2, etherIPv6, "pass"),
		},
		// IPv6: UDP follows the header, or the header of a first fragment. R8 = where UDP begins.
		load(asm.Mov.Imm(asm.R2, network+6), -4, 1),
		asm.Instructions{
			asm.Mov.Imm(asm.R8, network+40),
			asm.LoadMem(asm.R2, asm.RFP, -4, asm.Byte),
			asm.JEq.Imm(asm.R2, protocolUDP, "udp"),
			asm.JNE.Imm(asm.R2, protocolFragment, "pass"),
		},
		load(asm.Mov.Imm(asm.R2, network+40), -4, 4),
		asm.Instructions{
			asm.Mov.Imm(asm.R8, network+48),
			asm.LoadMem(asm.R2, asm.RFP, -4, asm.Byte),
			asm.JNE.Imm(asm.R2, protocolUDP, "pass"),
			asm.LoadMem(asm.R2, asm.RFP, -2, asm.Half),
			asm.HostTo(asm.BE, asm.R2, asm.Half),
			asm.And.Imm(asm.R2, 0xfff8), // offset of the fragment (RFC 8200 §4.5)
			asm.JEq.Imm(asm.R2, 0, "udp"),
			asm.Ja.Label("pass"),
		},
		// IPv4: byte 0 has the header's length, 6 the offset of a fragment, 9 the protocol (RFC 791 §3.1).
		first(load(asm.Mov.Imm(asm.R2, network), -12, 10), "ipv4"),
		asm.Instructions{
			asm.LoadMem(asm.R2, asm.RFP, -3, asm.Byte),
			asm.JNE.Imm(asm.R2, protocolUDP, "pass"),
			asm.LoadMem(asm.R2, asm.RFP, -6, asm.Half),
			asm.HostTo(asm.BE, asm.R2, asm.Half),
			asm.And.Imm(asm.R2, 0x1fff),
			asm.JNE.Imm(asm.R2, 0, "pass"),
			asm.LoadMem(asm.R8, asm.RFP, -12, asm.Byte),
			asm.And.Imm(asm.R8, 0x0f),
			asm.LSh.Imm(asm.R8, 2),
			asm.Add.Imm(asm.R8, network),
		},
		// UDP: the source port is in front, the checksum at 6 (RFC 768).
		first(load(asm.Mov.Reg(asm.R2, asm.R8), -4, 2), "udp"),
		asm.Instructions{
			asm.HostTo(asm.BE, asm.R7, asm.Half),
			asm.StoreMem(asm.RFP, -2, asm.R7, asm.Half),
			asm.Mov.Reg(asm.R1, asm.R6),
			asm.Mov.Reg(asm.R2, asm.R8),
			asm.Add.Imm(asm.R2, 6),
			asm.LoadMem(asm.R3, asm.RFP, -4, asm.Half),
			asm.Mov.Reg(asm.R4, asm.R7),
			asm.Mov.Imm(asm.R5, csumMangled0|csumHalfWords),
			asm.FnL4CsumReplace.Call(),
			asm.Mov.Reg(asm.R1, asm.R6),
			asm.Mov.Reg(asm.R2, asm.R8),
			asm.Mov.Reg(asm.R3, asm.RFP),
			asm.Add.Imm(asm.R3, -2),
			asm.Mov.Imm(asm.R4, 2),
			asm.Mov.Imm(asm.R5, 0),
			asm.FnSkbStoreBytes.Call(),
			asm.Mov.Imm(asm.R0, actNext).WithSymbol("pass"),
			asm.Return(),
		},
	)
	return program
}

// first names the first instruction, for jumps to it.
func first(program asm.Instructions, label string) asm.Instructions {
	program[0] = program[0].WithSymbol(label)
	return program
}
