// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"
)

// Table says which ports of the network namespace are open, and to whom.
type Table map[socketName]Families

type socketName struct {
	protocol Protocol
	port     uint16
}

// Open says in which families somebody has the port open.
func (t Table) Open(protocol Protocol, port uint16) Families {
	return t[socketName{protocol, port}]
}

// Set says that a port is open, in addition to what the table has.
func (t Table) Set(protocol Protocol, port uint16, families Families) {
	name := socketName{protocol, port}
	t[name] = t[name].or(families)
}

// States of sockets in /proc/net (include/net/tcp_states.h).
const (
	stateUnconnected = "07" // of UDP
	stateListening   = "0A"
)

// fromProc reads the table from /proc/self/net of the file system, which every process may read. It is slow: the kernel looks
// through all connections of the machine. A family that the kernel lacks is left out.
func fromProc(proc fs.FS) (Table, error) {
	table := Table{}
	for name, protocol := range map[string]Protocol{"tcp": TCP, "tcp6": TCP, "udp": UDP, "udp6": UDP} {
		file, err := proc.Open("self/net/" + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read who listens: %w", err)
		}
		err = table.add(protocol, file)
		_ = file.Close()
		if err != nil {
			return nil, fmt.Errorf("read who listens in /proc/self/net/%s: %w", name, err)
		}
	}
	return table, nil
}

// add reads one of the files. That of TCP has the listening sockets first; the connections behind them, which can be many,
// are not read.
func (t Table) add(protocol Protocol, file io.Reader) error {
	lines := bufio.NewScanner(file)
	lines.Scan() // the heading
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			return fmt.Errorf("a line has %d fields", len(fields))
		}
		switch state := fields[3]; {
		case protocol == TCP && state != stateListening:
			return nil
		case protocol == UDP && state != stateUnconnected:
			continue
		}
		bound, err := parseSocket(fields[1])
		if err != nil {
			return err
		}
		t.Set(protocol, bound.Port(), familiesOf(bound.Addr()))
	}
	return lines.Err()
}

// parseSocket reads an address as /proc/net has it: words of four bytes, each in the machine's byte order, and the port.
func parseSocket(text string) (netip.AddrPort, error) {
	address, port, found := strings.Cut(text, ":")
	words, err := hex.DecodeString(address)
	if !found || err != nil || len(words) != 4 && len(words) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", text)
	}
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q has no port", text)
	}
	for i := 0; i < len(words); i += 4 {
		binary.NativeEndian.PutUint32(words[i:], binary.BigEndian.Uint32(words[i:]))
	}
	addr, _ := netip.AddrFromSlice(words)
	return netip.AddrPortFrom(addr, uint16(number)), nil
}
