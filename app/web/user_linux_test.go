// SPDX-License-Identifier: Apache-2.0

package web

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

// TestMain makes this test binary a stranger as well: one that connects to an address and waits to be turned away.
func TestMain(m *testing.M) {
	if address := os.Getenv("STRANGER_CONNECTS_TO"); address != "" {
		os.Exit(visitAsStranger(address))
	}
	os.Exit(m.Run())
}

func visitAsStranger(address string) int {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 2
	}
	if _, err := conn.Write([]byte("GET /open HTTP/1.1\r\nHost: " + address + "\r\n\r\n")); err != nil {
		return 0
	}
	if n, _ := conn.Read(make([]byte, 1)); n > 0 {
		return 3 // it was heard
	}
	return 0
}

// connected returns both ends of a connection over loopback.
func connected(t *testing.T) (client, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if client, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

func TestTheUsersOwnConnectionsAreLetIn(t *testing.T) {
	_, server := connected(t)
	if err := checkUser(server); err != nil {
		t.Error(err)
	}
}

// TestProgramsWithIPv6SocketsAreLetIn speaks IPv4 through an IPv6 socket, as Firefox does.
func TestProgramsWithIPv6SocketsAreLetIn(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Log("this machine has no IPv6:", err)
		return
	}
	defer syscall.Close(socket)
	to := &syscall.SockaddrInet6{Port: listener.Addr().(*net.TCPAddr).Port}
	copy(to.Addr[:], net.IPv4(127, 0, 0, 1).To16())
	if err := syscall.Connect(socket, to); err != nil {
		t.Fatal(err)
	}
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := checkUser(server); err != nil {
		t.Error(err)
	}
}

func TestAConnectionThatNobodyHoldsIsTurnedAway(t *testing.T) {
	client, server := connected(t)
	client.Close()
	if err := checkUser(server); err == nil {
		t.Error("it is let in")
	}
}

// TestStrangersOfThisMachineAreNotHeard runs a program as another user, which only root can.
func TestStrangersOfThisMachineAreNotHeard(t *testing.T) {
	s, _ := newServer(t, testPage)
	page, err := s.Open(localapi.PageRequest{})
	if err != nil {
		t.Fatal(err)
	}
	address := page.URL[len("http://"):][:len(s.host)]
	own, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.CreateTemp("", "stranger") // where the other user may run it
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(program.Name())
	if _, err := program.Write(own); err != nil {
		t.Fatal(err)
	}
	program.Close()
	if err := os.Chmod(program.Name(), 0o755); err != nil {
		t.Fatal(err)
	}
	stranger := exec.Command(program.Name())
	stranger.Dir = "/"
	stranger.Env = []string{"STRANGER_CONNECTS_TO=" + address}
	stranger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	err = stranger.Run()
	if os.Getuid() != 0 {
		if !errors.Is(err, os.ErrPermission) {
			t.Errorf("without root there is no other user to try with, and yet: %v", err)
		}
		return
	}
	if err != nil {
		t.Errorf("the stranger ended with %v", err)
	}
}
