// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// startBus runs a system bus for this test alone and makes it the one that programs find.
func startBus(t *testing.T) {
	t.Helper()
	folder := t.TempDir()
	address := "unix:path=" + filepath.Join(folder, "bus")
	config := filepath.Join(folder, "bus.conf")
	content := fmt.Sprintf(`<busconfig><type>system</type><listen>%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true"/><allow receive_requested_reply="true"/></policy></busconfig>`, address)
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command("dbus-daemon", "--nofork", "--nopidfile", "--print-address=1", "--config-file="+config)
	output, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatalf("the test needs dbus-daemon: %v", err)
	}
	t.Cleanup(func() { _ = errors.Join(daemon.Process.Kill(), daemon.Wait()) })
	if _, err := bufio.NewReader(output).ReadString('\n'); err != nil { // it has bound the socket
		t.Fatal(err)
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
}

// fakeResolved is systemd-resolved as far as this package talks to it.
type fakeResolved struct {
	mu    sync.Mutex
	bus   *dbus.Conn
	calls []string
	most  int // domains that it takes
	told  chan string
}

func startResolved(t *testing.T, most int) *fakeResolved {
	t.Helper()
	bus, err := dbus.ConnectSystemBus()
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeResolved{bus: bus, most: most, told: make(chan string, 100)}
	if err := bus.Export(f, "/org/freedesktop/resolve1", resolvedBusName+".Manager"); err != nil {
		t.Fatal(err)
	}
	if reply, err := bus.RequestName(resolvedBusName, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("%v, %v", reply, err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	return f
}

func (f *fakeResolved) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	call := fmt.Sprintf(format, args...)
	f.calls = append(f.calls, call)
	f.told <- call
}

// The methods are what D-Bus calls. SetLinkDNSOverTLS is missing, as in old versions.

func (f *fakeResolved) SetLinkDefaultRoute(index int32, on bool) *dbus.Error {
	f.note("default route %d %t", index, on)
	return nil
}

func (f *fakeResolved) SetLinkLLMNR(int32, string) *dbus.Error { return nil }

func (f *fakeResolved) SetLinkMulticastDNS(int32, string) *dbus.Error { return nil }

func (f *fakeResolved) SetLinkDNSSEC(int32, string) *dbus.Error { return nil }

func (f *fakeResolved) SetLinkDomains(index int32, domains []resolvedDomain) *dbus.Error {
	if len(domains) > f.most {
		return dbus.NewError("System.Error.E2BIG", []any{"Argument list too long"})
	}
	f.note("domains %d: %d, first %s %t", index, len(domains), domains[0].Domain, domains[0].RouteOnly)
	return nil
}

func (f *fakeResolved) SetLinkDNS(index int32, servers []resolvedServer) *dbus.Error {
	f.note("servers %d: %v", index, servers)
	return nil
}

func (f *fakeResolved) FlushCaches() *dbus.Error { return nil }

func (f *fakeResolved) RevertLink(index int32) *dbus.Error {
	f.note("revert %d", index)
	return nil
}

func (f *fakeResolved) ResolveHostname(_ int32, name string, _ int32, _ uint64) ([]struct {
	Index   int32
	Family  int32
	Address []byte
}, string, uint64, *dbus.Error) {
	return []struct {
		Index   int32
		Family  int32
		Address []byte
	}{{1, 2, []byte{198, 19, 0, 3}}}, name, 0, nil
}

func (f *fakeResolved) until(t *testing.T, prefix string) {
	t.Helper()
	for {
		select {
		case call := <-f.told:
			if strings.HasPrefix(call, prefix) {
				return
			}
		case <-t.Context().Done():
			t.Fatalf("never: %s", prefix)
		}
	}
}

func loopbackPlan(domains int) plan {
	c := testConfig()
	c.Device = "lo" // a device that every machine has
	for i := range domains {
		c.Namespaces = append(c.Namespaces, fmt.Sprintf("team-%d", i))
	}
	return newPlan(c, c.Addresses[:1], dnsPort)
}

func TestResolvedIsToldAndPutBack(t *testing.T) {
	startBus(t)
	fake := startResolved(t, 1024)
	bus, err := dbus.ConnectSystemBus()
	if err != nil {
		t.Fatal(err)
	}
	if found, nm := onBus(t.Context(), bus); !found || nm != "" {
		t.Errorf("on the bus: %t, %q", found, nm)
	}
	r, err := newResolved(bus)
	if err != nil {
		t.Fatal(err)
	}
	if note, err := r.apply(t.Context(), loopbackPlan(0)); err != nil || note != "" {
		t.Fatalf("%q, %v", note, err)
	}
	if addresses, err := r.askBus(t.Context(), "x.cluster.local"); err != nil || len(addresses) != 1 || addresses[0] != netip.MustParseAddr("198.19.0.3") {
		t.Errorf("%v, %v", addresses, err)
	}

	// It restarts and has forgotten.
	if err := fake.bus.Close(); err != nil {
		t.Fatal(err)
	}
	next := startResolved(t, 1024)
	<-r.disturbed()
	if _, err := r.apply(t.Context(), loopbackPlan(0)); err != nil {
		t.Fatal(err)
	}
	next.until(t, "servers 1: [{2 [198 19 0 3]}]")
	if err := errors.Join(r.revert(t.Context()), r.revert(t.Context()), r.close()); err != nil {
		t.Fatal(err)
	}
	next.until(t, "revert 1")
	// The fake is called from several goroutines; the real one works calls off in order.
	want := "default route 1 false|domains 1: 17, first shop-a.svc.cluster.local false|servers 1: [{2 [198 19 0 3]}]"
	fake.mu.Lock()
	defer fake.mu.Unlock()
	slices.Sort(fake.calls)
	if got := strings.Join(fake.calls, "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestResolvedThatTakesFewDomains(t *testing.T) {
	startBus(t)
	fake := startResolved(t, 256)
	bus, err := dbus.ConnectSystemBus()
	if err != nil {
		t.Fatal(err)
	}
	r, err := newResolved(bus)
	if err != nil {
		t.Fatal(err)
	}
	note, err := r.apply(t.Context(), loopbackPlan(900))
	if err != nil || !strings.Contains(note, "takes 250 domains") {
		t.Errorf("%q, %v", note, err)
	}
	fake.until(t, "domains 1: 251")
	if err := r.close(); err != nil {
		t.Error(err)
	}
}

func TestResolvedThatIsGoneIsNoTrouble(t *testing.T) {
	startBus(t)
	fake := startResolved(t, 1024)
	bus, err := dbus.ConnectSystemBus()
	if err != nil {
		t.Fatal(err)
	}
	r, err := newResolved(bus)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.apply(t.Context(), loopbackPlan(0)); err != nil {
		t.Fatal(err)
	}
	if err := fake.bus.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.revert(context.Background()); err != nil {
		t.Errorf("put back what is gone: %v", err)
	}
	if err := r.close(); err != nil {
		t.Error(err)
	}
}
