// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/fairlead-dev/fairlead/agent/redirect"
)

// serve answers each line of each connection with who it is, which address was called, and the line: to "wait" when tick has
// something, and to "push" again and again whenever it has.
func serve(listener net.Listener, name string, tick <-chan struct{}) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			lines := bufio.NewScanner(conn)
			for lines.Scan() {
				answer := func() { _, _ = fmt.Fprintln(conn, name, conn.LocalAddr(), lines.Text()) }
				switch lines.Text() {
				case "wait":
					<-tick
				case "push":
					for range tick {
						answer()
					}
				}
				answer()
			}
		}()
	}
}

// app listens on the port at all addresses, or on those given.
func app(t testing.TB, port uint16, hosts ...string) {
	t.Helper()
	appWith(t, port, nil, hosts...)
}

func appWith(t testing.TB, port uint16, tick <-chan struct{}, hosts ...string) {
	t.Helper()
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, host := range hosts {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		go serve(listener, "app", tick)
	}
}

// sidecar redirects nothing yet.
func sidecar(t testing.TB) *redirect.Redirect {
	t.Helper()
	r, err := redirect.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, listener := range r.Listeners() {
		go serve(listener, "sidecar", nil)
	}
	return r
}

func tcp(ports ...uint16) []redirect.Port {
	var list []redirect.Port
	for _, port := range ports {
		list = append(list, redirect.Port{Protocol: redirect.TCP, Number: port, Families: redirect.Families{IPv4: true, IPv6: true}})
	}
	return list
}

func set(t testing.TB, r *redirect.Redirect, ports []redirect.Port) {
	t.Helper()
	if err := r.Set(ports); err != nil {
		t.Fatal(err)
	}
}

// ask sends a line and returns the first words of the answer: who answered, and the address it was called at.
func ask(t testing.TB, conn net.Conn, line string) (who, called string) {
	t.Helper()
	if _, err := fmt.Fprintln(conn, line); err != nil {
		t.Fatal(err)
	}
	return answered(t, conn, line)
}

func answered(t testing.TB, conn net.Conn, line string) (who, called string) {
	t.Helper()
	answer, err := readLine(conn)
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(answer)
	if len(words) != 3 || words[2] != line {
		t.Fatalf("%q was answered with %q", line, answer)
	}
	return words[0], words[1]
}

// readLine reads no more than the line.
func readLine(conn net.Conn) (string, error) {
	var line []byte
	var one [1]byte
	for {
		if _, err := io.ReadFull(conn, one[:]); err != nil {
			return string(line), err
		}
		if one[0] == '\n' {
			return string(line), nil
		}
		line = append(line, one[0])
	}
}

func expect(t testing.TB, conn net.Conn, who string) {
	t.Helper()
	if got, _ := ask(t, conn, "hello"); got != who {
		t.Errorf("%s answered instead of %s", got, who)
	}
}

// runSidecar is the sidecar as a process of its own: it redirects the port that its last argument names, says so or what
// went wrong, and serves until it is killed.
func runSidecar() {
	port, err := strconv.Atoi(os.Args[len(os.Args)-1])
	if err == nil {
		var r *redirect.Redirect
		if r, err = redirect.Open(); err == nil {
			for _, listener := range r.Listeners() {
				go serve(listener, "sidecar", nil)
			}
			if err = r.Set(tcp(uint16(port))); err == nil {
				_, err = r.Datagrams(uint16(port))
			}
		}
	}
	fmt.Println("result:", err)
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// startSidecar starts the process, as the user and with the capabilities, and returns it with what it said.
func startSidecar(t testing.TB, port uint16, uid uint32, capabilities ...uintptr) (*exec.Cmd, string) {
	t.Helper()
	process := exec.Command("/proc/self/exe", strconv.Itoa(int(port)))
	process.Env = append(os.Environ(), roleVariable+"=sidecar")
	// It ends with its standard input. (Pdeathsig would end it with the thread that starts it.)
	process.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, AmbientCaps: capabilities}
	process.Stderr = os.Stderr
	if _, err := process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	said, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return process, strings.TrimSpace(strings.TrimPrefix(said, "result:"))
}
