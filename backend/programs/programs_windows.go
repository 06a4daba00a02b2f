// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"context"
	"fmt"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	iphlpapi = windows.NewLazySystemDLL("iphlpapi.dll")
	tcpTable = iphlpapi.NewProc("GetExtendedTcpTable")
	udpTable = iphlpapi.NewProc("GetExtendedUdpTable")
)

const (
	tcpTableListeners = 3     // TCP_TABLE_OWNER_PID_LISTENER (iprtrmib.h)
	udpTableOwners    = 1     // UDP_TABLE_OWNER_PID (iprtrmib.h)
	firstEphemeral    = 49152 // where Windows' dynamic ports begin (RFC 6335)
)

// look asks the system for its tables, and for the programs of this user by their names.
func look(ctx context.Context) ([]socket, map[int]process, error) {
	var sockets []socket
	for _, wanted := range []struct {
		table  *windows.LazyProc
		class  uintptr
		family uintptr
		layout tableLayout
	}{
		{tcpTable, tcpTableListeners, windows.AF_INET, tcp4Rows}, {tcpTable, tcpTableListeners, windows.AF_INET6, tcp6Rows},
		{udpTable, udpTableOwners, windows.AF_INET, udp4Rows}, {udpTable, udpTableOwners, windows.AF_INET6, udp6Rows},
	} {
		table, err := readTable(wanted.table, wanted.family, wanted.class)
		if err != nil {
			return nil, nil, err
		}
		for _, s := range wanted.layout.parse(table) {
			if s.at.Port() != 0 && (s.protocol == "TCP" || s.at.Port() < firstEphemeral || !s.at.Addr().IsUnspecified()) {
				sockets = append(sockets, s)
			}
		}
	}
	processes := map[int]process{}
	for _, s := range sockets {
		if _, known := processes[s.pid]; !known {
			processes[s.pid] = process{name: nameOf(uint32(s.pid))}
		}
	}
	return sockets, processes, ctx.Err()
}

// readTable calls one of the two functions with a buffer that is large enough.
func readTable(table *windows.LazyProc, family, class uintptr) ([]byte, error) {
	if err := table.Find(); err != nil {
		return nil, fmt.Errorf("ask for sockets: %w", err)
	}
	size := uint32(16 << 10)
	for range 8 { // it may grow meanwhile
		buffer := make([]byte, size)
		status, _, _ := table.Call(uintptr(unsafe.Pointer(&buffer[0])), uintptr(unsafe.Pointer(&size)), 0, family, class, 0)
		switch windows.Errno(status) {
		case windows.ERROR_SUCCESS:
			return buffer, nil
		case windows.ERROR_INSUFFICIENT_BUFFER:
			size += 4 << 10
		default:
			return nil, fmt.Errorf("ask for sockets: %w", windows.Errno(status))
		}
	}
	return nil, fmt.Errorf("ask for sockets: %w", windows.ERROR_INSUFFICIENT_BUFFER)
}

// nameOf is the file name of a program; empty where this user may not know.
func nameOf(pid uint32) string {
	handle, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return ""
	}
	defer windows.CloseHandle(handle) //nolint:errcheck // nothing depends on it
	buffer := make([]uint16, windows.MAX_LONG_PATH)
	size := uint32(len(buffer))
	if windows.QueryFullProcessImageName(handle, 0, &buffer[0], &size) != nil {
		return ""
	}
	return filepath.Base(windows.UTF16ToString(buffer[:size]))
}

// untold says what is not found out of programs here.
func untold([]Program) string { return "Command lines and folders are not shown on Windows." }
