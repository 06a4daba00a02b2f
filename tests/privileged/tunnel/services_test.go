// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
)

// runServices answers on the service addresses until the process is killed.
func runServices() {
	for _, s := range []struct {
		port  int
		serve func(*net.TCPConn)
	}{{echoPort, echo}, {sourcePort, produce}, {sinkPort, consume}} {
		listener, err := net.Listen("tcp", fmt.Sprintf(":%d", s.port))
		if err != nil {
			panic(err)
		}
		go accept(listener, s.serve)
	}
	packets, err := net.ListenPacket("udp4", fmt.Sprintf("%s:%d", service, echoPort))
	if err != nil {
		panic(err)
	}
	packets6, err := net.ListenPacket("udp6", fmt.Sprintf("[%s]:%d", service6, echoPort))
	if err != nil {
		panic(err)
	}
	go echoPackets(packets6)
	fmt.Println("ready")
	echoPackets(packets)
}

func accept(listener net.Listener, serve func(*net.TCPConn)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			serve(conn.(*net.TCPConn))
		}()
	}
}

// echo sends back what comes, and ends its side when the other does.
func echo(conn *net.TCPConn) { _, _ = io.Copy(conn, conn) }

// produce sends as many bytes as a first line of decimal digits says.
func produce(conn *net.TCPConn) {
	line := make([]byte, 0, 20)
	for one := make([]byte, 1); ; line = append(line, one[0]) {
		if _, err := conn.Read(one); err != nil || one[0] == '\n' {
			break
		}
	}
	left, block := atoi(string(line)), make([]byte, 256<<10)
	for left > 0 {
		n, err := conn.Write(block[:min(left, len(block))])
		if err != nil {
			return
		}
		left -= n
	}
}

// consume reads all there is and then says how much that was.
func consume(conn *net.TCPConn) {
	total, block := 0, make([]byte, 256<<10)
	for {
		n, err := conn.Read(block)
		total += n
		if err != nil {
			break
		}
	}
	_, _ = fmt.Fprintln(conn, total)
}

func echoPackets(conn net.PacketConn) {
	buf := make([]byte, 65535)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			continue
		}
		_, _ = conn.WriteTo(buf[:n], from)
	}
}

func atoi(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		return 0
	}
	return n
}

// residentMemory returns the resident memory of a process in KiB, as text.
func residentMemory(pid int) (string, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strings.TrimSuffix(strings.TrimSpace(rest), " kB"), nil
		}
	}
	return "", fmt.Errorf("no VmRSS in /proc/%d/status", pid)
}
