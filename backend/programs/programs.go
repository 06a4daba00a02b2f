// SPDX-License-Identifier: Apache-2.0

// Package programs says which programs of this machine wait for connections, so that people can pick one instead of
// typing a port.
//
// It reads what the operating system says: of the user's own programs what they are, of others' that they are there. It
// leaves out Fairlead's own. It must not connect to anything, and must not show what is secret on a command line.
package programs

import (
	"cmp"
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fairlead-dev/fairlead/backend/redact"
)

// Program is a socket that a program of this machine listens on. It is plain data.
type Program struct {
	Port     int    `json:"port"`
	Protocol string `json:"protocol"` // TCP or UDP
	// Address is where it listens: 127.0.0.1, 0.0.0.0, ::1, :: or another one of this machine.
	Address string `json:"address"`
	PID     int    `json:"pid,omitempty"`     // 0 where the system does not tell, as of other users' programs
	Name    string `json:"name,omitempty"`    // such as node, java or api
	Command string `json:"command,omitempty"` // the command line, shortened; without what may be secret in it
	Folder  string `json:"folder,omitempty"`  // its working directory
}

// maxCommand is how long a Command is at most, in characters.
const maxCommand = 160

// socket is one that waits, as the system has it.
type socket struct {
	protocol string
	at       netip.AddrPort
	pid      int // 0 for unknown
}

// process is what the system says of a program.
type process struct {
	name   string
	words  []string // of its command line
	folder string
}

// List returns the programs that wait for connections, by port and protocol. Sockets on the addresses in own, those of the
// tunnel, are Fairlead's. note says what the system does not tell; empty if it tells everything.
func List(ctx context.Context, own []netip.Addr) (programs []Program, note string, err error) {
	sockets, processes, err := look(ctx)
	if err != nil {
		return []Program{}, "", err
	}
	programs = assemble(sockets, processes, own)
	return programs, untold(programs), nil
}

// assemble makes the list: a program that listens in the same way on several addresses, such as on both families, is there
// once.
func assemble(sockets []socket, processes map[int]process, own []netip.Addr) []Program {
	slices.SortFunc(sockets, func(a, b socket) int {
		return cmp.Or(cmp.Compare(a.at.Port(), b.at.Port()), strings.Compare(a.protocol, b.protocol), cmp.Compare(a.pid, b.pid), a.at.Addr().Compare(b.at.Addr()))
	})
	programs := []Program{}
	var last socket
	for i, s := range sockets {
		p := processes[s.pid]
		if isFairlead(p.name) || slices.Contains(own, s.at.Addr()) {
			continue
		}
		same := i > 0 && len(programs) > 0 && last.at.Port() == s.at.Port() && last.protocol == s.protocol && last.pid == s.pid &&
			reach(last.at.Addr()) == reach(s.at.Addr()) && reach(s.at.Addr()) != otherAddress
		if same {
			continue
		}
		last = s
		program := Program{Port: int(s.at.Port()), Protocol: s.protocol, Address: s.at.Addr().String(), PID: s.pid, Name: redact.Shorten(p.name, 60), Folder: redact.Shorten(p.folder, 300)}
		if len(p.words) > 0 {
			words := slices.Clone(p.words)
			words[0] = filepath.Base(words[0])
			program.Command = redact.Command(words, maxCommand)
		}
		programs = append(programs, program)
	}
	return programs
}

// Who reaches an address.
const (
	everybody    = iota + 1 // on any network
	thisMachine             // alone
	otherAddress            // on one network
)

func reach(a netip.Addr) int {
	switch {
	case a.IsUnspecified():
		return everybody
	case a.IsLoopback():
		return thisMachine
	}
	return otherAddress
}

// isFairlead reports whether a program is one of Fairlead's.
func isFairlead(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".exe")
	return slices.Contains([]string{"fairlead", "fairlead-desktop", "fairlead-helper", "fairlead-agent"}, name)
}
