// SPDX-License-Identifier: Apache-2.0

package helper

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/client"
)

const (
	socket = "/run/fairlead/helper.sock"
	limit  = 20 * time.Second // for anything that takes a moment
)

// service is a helper that runs.
type service struct {
	process *exec.Cmd
	log     bytes.Buffer
	read    chan struct{} // closed at the end of the log
}

// startHelper runs the program, and returns when it says that it serves.
func startHelper(t *testing.T) *service {
	t.Helper()
	s := &service{process: exec.Command(program), read: make(chan struct{})}
	output, err := s.process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	serving := make(chan struct{})
	go func() {
		defer close(s.read)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			fmt.Fprintln(&s.log, lines.Text())
			if strings.Contains(lines.Text(), "msg=serving") {
				close(serving)
			}
		}
	}()
	select {
	case <-serving:
	case <-s.read:
		t.Fatalf("the helper ended:\n%s", s.log.String())
	}
	t.Cleanup(func() { s.end(t, syscall.SIGKILL) })
	return s
}

// end sends a signal and waits for the end.
func (s *service) end(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := s.process.Process.Signal(signal); errors.Is(err, os.ErrProcessDone) {
		return
	}
	<-s.read
	_ = s.process.Wait() // the status says no more than the signal
	if t.Failed() {
		t.Logf("the helper's log:\n%s", s.log.String())
	}
}

// snapshot is the state of the machine, as text.
func snapshot(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, args := range [][]string{{"-brief", "link"}, {"-brief", "address"}, {"rule"}, {"-6", "rule"},
		{"route", "show", "table", "all"}, {"-6", "route", "show", "table", "all"}} {
		output, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, output)
		}
		fmt.Fprintf(&b, "== ip %s\n%s", strings.Join(args, " "), output)
	}
	for _, folder := range []string{"/etc", "/run"} {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || strings.HasPrefix(path, "/run/fairlead") {
				return err
			}
			info, err := entry.Info()
			if err != nil || entry.IsDir() {
				return err
			}
			fmt.Fprintf(&b, "== %s %s %s\n", path, info.Mode(), info.ModTime())
			if !info.Mode().IsRegular() {
				return nil
			}
			content, err := os.ReadFile(path)
			b.Write(content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func dial(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func tunnelSpec() api.Tunnel {
	return api.Tunnel{
		Addresses: []netip.Addr{netip.MustParseAddr("198.19.0.3"), netip.MustParseAddr("fd00:f1::3")},
		Peer: api.Peer{
			PublicKey: "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
			Addresses: []netip.Addr{netip.MustParseAddr("198.19.0.2"), netip.MustParseAddr("fd00:f1::2")},
			UDP:       []netip.AddrPort{netip.MustParseAddrPort("192.168.7.9:51820")},
		},
		Routes:  []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00:10::/64")},
		Exempt:  []netip.Addr{netip.MustParseAddr("10.100.0.1")},
		DNS:     &api.DNS{ClusterDomain: "cluster.local", Namespace: "shop", Namespaces: []string{"shop", "dev"}},
		Carrier: api.CarrierUDP,
	}
}

// connect brings a tunnel up and returns once names resolve by it.
func connect(t *testing.T, c *client.Client) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	prepared, err := c.Prepare(ctx, api.PrepareRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(prepared.LocalRoutes, func(r api.LocalRoute) bool { return r.Interface == "eth0" }) {
		t.Errorf("local routes %+v", prepared.LocalRoutes)
	}
	if _, err := c.Up(ctx, api.UpRequest{Session: prepared.Session, Tunnel: tunnelSpec()}); err != nil {
		t.Fatal(err)
	}
	if err := c.Watch(ctx, prepared.Session, func(s api.Status) bool { return !s.DNS.Healthy }); err != nil {
		t.Fatalf("names: %v", err)
	}
	return prepared.Session
}

// wantSame fails when the machine is not as before. The end of a connection is noticed in its own time.
func wantSame(t *testing.T, before string) {
	t.Helper()
	if after := snapshot(t); after != before {
		t.Errorf("the machine before:\n%s\nand after:\n%s", linesWithout(before, after), linesWithout(after, before))
	}
}

// linesWithout are the lines of a text that another does not have.
func linesWithout(text, other string) string {
	known := strings.Split(other, "\n")
	return strings.Join(slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return slices.Contains(known, line) }), "\n")
}

func awaitSame(t *testing.T, before string) {
	t.Helper()
	for deadline := time.Now().Add(limit); snapshot(t) != before && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond) // nothing tells from outside when it is done
	}
	wantSame(t, before)
}

func TestMachineComesBack(t *testing.T) {
	before := snapshot(t)
	for name, end := range map[string]func(*testing.T, *service, *client.Client, string){
		"down": func(t *testing.T, _ *service, c *client.Client, session string) {
			if err := c.Down(t.Context(), session); err != nil {
				t.Error(err)
			}
			wantSame(t, before)
		},
		"caller gone": func(t *testing.T, _ *service, c *client.Client, _ string) {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			awaitSame(t, before)
		},
		"service stopped": func(t *testing.T, s *service, _ *client.Client, _ string) {
			s.end(t, syscall.SIGTERM)
			wantSame(t, before)
		},
		"service killed, then restore": func(t *testing.T, s *service, _ *client.Client, _ string) {
			s.end(t, syscall.SIGKILL)
			for _, want := range []string{"changes put back", "0 changes put back"} {
				output, err := exec.Command(program, "restore").CombinedOutput()
				if err != nil || !strings.Contains(string(output), want) {
					t.Errorf("%v: %s", err, output)
				}
				wantSame(t, before)
			}
		},
		"service killed and started again": func(t *testing.T, s *service, _ *client.Client, _ string) {
			s.end(t, syscall.SIGKILL)
			next := startHelper(t)
			wantSame(t, before)
			again := dial(t)
			session := connect(t, again)
			if err := again.Down(t.Context(), session); err != nil {
				t.Error(err)
			}
			wantSame(t, before)
			next.end(t, syscall.SIGTERM)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startHelper(t)
			c := dial(t)
			session := connect(t, c)
			if during := snapshot(t); during == before {
				t.Fatal("nothing was changed")
			}
			end(t, s, c, session)
		})
	}
}

func TestNamesAndRoutesDuringASession(t *testing.T) {
	startHelper(t)
	connect(t, dial(t))
	content, err := os.ReadFile("/etc/resolv.conf")
	if err != nil || !strings.Contains(string(content), "nameserver 198.19.0.3\nsearch shop.svc.cluster.local corp.example\n") {
		t.Errorf("%s, %v", content, err)
	}
	for address, device := range map[string]string{
		"10.96.0.10": "fairlead0", "198.19.0.2": "fairlead0", "fd00:10::1": "fairlead0",
		"10.100.0.1": "eth0", "192.168.7.9": "eth0", "203.0.113.1": "eth0",
	} {
		output, err := exec.Command("ip", "route", "get", address).CombinedOutput()
		if err != nil || !strings.Contains(string(output), "dev "+device) {
			t.Errorf("%s does not go by %s: %s, %v", address, device, output, err)
		}
	}
}

// TestForeignResolverDuringASession has another program write the resolver's file, as DHCP clients do.
func TestForeignResolverDuringASession(t *testing.T) {
	t.Cleanup(func() {
		if err := os.WriteFile("/etc/resolv.conf", []byte(machineResolver), 0o644); err != nil {
			t.Error(err)
		}
	})
	startHelper(t)
	c := dial(t)
	session := connect(t, c)
	foreign := "nameserver 192.0.2.99\nsearch hotel.example\n"
	if err := errors.Join(os.WriteFile("/etc/new", []byte(foreign), 0o644), os.Rename("/etc/new", "/etc/resolv.conf")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) { // nothing tells from outside
		content, err := os.ReadFile("/etc/resolv.conf")
		if err == nil && strings.Contains(string(content), "nameserver 198.19.0.3\nsearch shop.svc.cluster.local hotel.example\n") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s, %v", content, err)
		}
	}
	if err := c.Down(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile("/etc/resolv.conf"); err != nil || string(content) != foreign {
		t.Errorf("%q, %v", content, err)
	}
}

// TestOtherUsers calls the helper as users whom the policy names and does not name.
func TestOtherUsers(t *testing.T) {
	if err := errors.Join(os.MkdirAll("/etc/fairlead", 0o755),
		os.WriteFile("/etc/fairlead/helper.json", []byte(`{"users":["dev"]}`), 0o644)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll("/etc/fairlead") })
	startHelper(t)
	ask := func(uid uint32) string {
		// The status request by itself: {"verb":"status"}, 17 bytes.
		command := exec.Command("sh", "-c", `printf '\000\000\000\021{"verb":"status"}' | socat -t 2 - UNIX-CONNECT:`+socket)
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, NoSetGroups: true}}
		output, err := command.CombinedOutput()
		if err != nil {
			t.Errorf("as %d: %v: %s", uid, err, output)
		}
		return string(output)
	}
	if reply := ask(1000); !strings.Contains(reply, `"state":"idle"`) {
		t.Errorf("dev got %q", reply)
	}
	if reply := ask(1001); !strings.Contains(reply, `"code":"denied"`) || !strings.Contains(reply, "--user other") {
		t.Errorf("other got %q", reply)
	}
}
