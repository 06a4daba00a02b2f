// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// tables are where the kernel lists sockets, by protocol.
var tables = map[string][]string{
	"TCP": {"/proc/net/tcp", "/proc/net/tcp6"},
	"UDP": {"/proc/net/udp", "/proc/net/udp6"},
}

var waiting = map[string]string{"TCP": tcpListen, "UDP": udpOpen}

// Listens reports whether a socket of this machine waits at an address, and whether the system tells at all. It reads the
// kernel's tables, and connects to nothing.
func Listens(protocol string, at netip.AddrPort) (listens, known bool) {
	for _, name := range tables[protocol] {
		file, err := os.Open(name)
		if err != nil {
			continue
		}
		known = true
		for e := range entries(file, waiting[protocol]) {
			if takes(e.local, at) {
				listens = true
				break
			}
		}
		file.Close()
		if listens {
			return true, true
		}
	}
	return false, known
}

// look reads the tables, and of this user's processes which sockets they have.
func look(ctx context.Context) ([]socket, map[int]process, error) {
	var sockets []socket
	places := map[uint64]int{} // of an inode in sockets
	ephemeral := firstEphemeral()
	var failed error
	for protocol, names := range tables {
		for _, name := range names {
			file, err := os.Open(name)
			if err != nil {
				failed = err
				continue
			}
			for e := range entries(file, waiting[protocol]) {
				// Clients that wait for answers have such ports, too; servers rarely do.
				if protocol == "UDP" && int(e.local.Port()) >= ephemeral && e.local.Addr().IsUnspecified() || e.local.Port() == 0 {
					continue
				}
				places[e.inode] = len(sockets)
				sockets = append(sockets, socket{protocol: protocol, at: e.local})
			}
			file.Close()
		}
	}
	if len(sockets) == 0 && failed != nil {
		return nil, nil, fmt.Errorf("read the kernel's table of sockets: %w", failed)
	}
	delete(places, 0)
	processes := owners(ctx, places, sockets)
	return sockets, processes, ctx.Err()
}

// untold says what the system does not tell of programs.
func untold(programs []Program) string {
	if slices.ContainsFunc(programs, func(p Program) bool { return p.PID == 0 }) {
		return "Programs of other users of this machine, such as those in containers, are shown without their names: the system does not tell them."
	}
	return ""
}

// owners finds out whose sockets they are, as far as this user may see it. A socket that several processes share is that of
// the oldest.
func owners(ctx context.Context, places map[uint64]int, sockets []socket) map[int]process {
	processes := map[int]process{}
	all, err := os.ReadDir("/proc")
	if err != nil {
		return processes
	}
	self := os.Getuid()
	for _, item := range all {
		pid, err := strconv.Atoi(item.Name())
		if err != nil || ctx.Err() != nil {
			continue
		}
		folder := filepath.Join("/proc", item.Name())
		if info, err := os.Stat(folder); err != nil || self != 0 && !isOwn(info, self) {
			continue
		}
		for _, inode := range socketsOf(folder) {
			place, ok := places[inode]
			if !ok || sockets[place].pid != 0 && sockets[place].pid < pid {
				continue
			}
			sockets[place].pid = pid
			if _, known := processes[pid]; !known {
				processes[pid] = readProcess(folder)
			}
		}
	}
	return processes
}

func isOwn(info os.FileInfo, uid int) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == uid
}

// socketsOf lists the inodes of the sockets that a process has open.
func socketsOf(folder string) []uint64 {
	files, err := os.ReadDir(filepath.Join(folder, "fd"))
	if err != nil {
		return nil
	}
	var inodes []uint64
	for _, file := range files {
		target, err := os.Readlink(filepath.Join(folder, "fd", file.Name()))
		if err != nil {
			continue
		}
		number, ok := strings.CutPrefix(target, "socket:[")
		if inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64); ok && err == nil {
			inodes = append(inodes, inode)
		}
	}
	return inodes
}

// maxCommandLine bounds what is read of a command line, in bytes.
const maxCommandLine = 8 << 10

func readProcess(folder string) process {
	var p process
	if target, err := os.Readlink(filepath.Join(folder, "exe")); err == nil {
		p.name = filepath.Base(strings.TrimSuffix(target, " (deleted)"))
	} else if text, err := os.ReadFile(filepath.Join(folder, "comm")); err == nil {
		p.name = strings.TrimSpace(string(text))
	}
	if text, err := os.ReadFile(filepath.Join(folder, "cmdline")); err == nil {
		for word := range bytes.SplitSeq(bytes.TrimRight(text[:min(len(text), maxCommandLine)], "\x00"), []byte{0}) {
			p.words = append(p.words, string(word))
		}
	}
	if target, err := os.Readlink(filepath.Join(folder, "cwd")); err == nil {
		p.folder = target
	}
	return p
}

// firstEphemeral is the lowest port that the system gives to clients (ip-sysctl.rst of the kernel).
func firstEphemeral() int {
	const usual = 32768
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return usual
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\t")
	if n, err := strconv.Atoi(first); err == nil {
		return n
	}
	return usual
}
