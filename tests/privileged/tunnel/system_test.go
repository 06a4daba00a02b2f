// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/restore"
	helper "github.com/fairlead-dev/fairlead/helper/tunnel"
)

// run runs a command of the system that must work, and returns what it says.
func run(t testing.TB, command string) string {
	t.Helper()
	words := strings.Fields(command)
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

// eventually waits until a command says something.
func eventually(t testing.TB, command, want string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		out := run(t, command)
		if strings.Contains(out, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: no %q in\n%s", command, want, out)
		}
	}
}

// inGateway runs a command in the gateway's network namespace.
func inGateway(t testing.TB, command string) string {
	t.Helper()
	return run(t, "nsenter --net="+namespaceOf(theGateway.process.Process.Pid)+" "+command)
}

// TestRoutes looks at what the kernel makes of the plan.
func TestRoutes(t *testing.T) {
	wanted := wantedTunnel(api.CarrierUDP)
	exempt := netip.MustParseAddr("10.96.0.99")
	wanted.Exempt = append(wanted.Exempt, exempt)
	s := up(t, wanted)
	for target, want := range map[string]string{
		service.String():              "dev fairlead0 table 26220 src 198.19.0.1",
		service6.String():             "dev fairlead0 table 26220 src fd5a::1",
		gatewayTunnel.String():        "dev fairlead0 table 26220 src 198.19.0.1",
		exempt.String():               "via 192.0.2.2 dev uplink src 192.0.2.1",
		gatewayLink.Addr().String():   "dev uplink src 192.0.2.1",
		"203.0.113.1":                 "via 192.0.2.2 dev uplink src 192.0.2.1",
		"10.97.0.1":                   "via 192.0.2.2 dev uplink src 192.0.2.1",
		netip.IPv6Loopback().String(): "dev lo",
	} {
		if got := run(t, "ip route get "+target); !strings.Contains(got, want) {
			t.Errorf("route to %s: %s, want %s", target, got, want)
		}
	}
	client, err := wgctrl.New()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	exchange(t, service, 100)
	device, err := client.Device(s.Device())
	if err != nil || len(device.Peers) != 1 || device.Peers[0].LastHandshakeTime.IsZero() {
		t.Errorf("wgctrl sees %+v, %v", device, err)
	}
}

// TestForwarded sees that packets which this machine only forwards, as for a local cluster, stay out of the tunnel.
func TestForwarded(t *testing.T) {
	run(t, "ip link add bridge0 type veth peer name pod0")
	defer run(t, "ip link del bridge0")
	run(t, "ip addr add 172.30.0.1/24 dev bridge0")
	run(t, "ip link set bridge0 up")
	run(t, "ip link set pod0 up")
	writeFile(t, "/proc/sys/net/ipv4/ip_forward", "1")
	defer writeFile(t, "/proc/sys/net/ipv4/ip_forward", "0")
	up(t, wantedTunnel(api.CarrierUDP))
	if got := run(t, fmt.Sprintf("ip route get %s from 172.30.0.2 iif bridge0", service)); !strings.Contains(got, "dev uplink") {
		t.Errorf("a forwarded packet goes to %s", got)
	}
}

// TestStrictReversePath has the kernel drop what comes in where answers would not go out, as many distributions set it.
func TestStrictReversePath(t *testing.T) {
	for _, scope := range []string{"all", "default", laptopDevice} {
		setting := "/proc/sys/net/ipv4/conf/" + scope + "/rp_filter"
		writeFile(t, setting, "1")
		defer writeFile(t, setting, "0")
	}
	eachWay(t, func(t *testing.T, _ *session) { exchange(t, service, 1<<20) })
}

// TestInterfaceRemoved has somebody take the interface away.
func TestInterfaceRemoved(t *testing.T) {
	s := up(t, wantedTunnel(api.CarrierUDP))
	exchange(t, service, 100)
	run(t, "ip link del "+s.Device())
	s.await("it is said", func(st api.Status) bool {
		return strings.Contains(st.UDP.Error, "interface") && strings.Contains(strings.Join(st.Notes, " "), "connect again")
	})
}

// TestRepair takes away what network managers take away.
func TestRepair(t *testing.T) {
	s := up(t, wantedTunnel(api.CarrierUDP))
	exchange(t, service, 100)
	run(t, "ip rule del pref 26220")
	run(t, "ip route flush table 26220")
	eventually(t, "ip rule show", "26220:\tfrom all iif lo lookup 26220")
	eventually(t, "ip route show table 26220", serviceRange.String())
	eventually(t, "ip route show table 26220", "198.19.0.0 ")
	exchange(t, service, 100)
	_ = s
}

func TestConflict(t *testing.T) {
	run(t, "ip route add 10.0.0.0/8 via 192.0.2.2")
	defer run(t, "ip route del 10.0.0.0/8")
	before := machineState(t)
	machine := helper.NewMachine(testLog())
	local, err := machine.LocalRoutes(context.Background())
	if err != nil || len(local) != 3 { // this, and the link's two
		t.Errorf("local routes %v, %v", local, err)
	}
	prepared, err := machine.Prepare(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer prepared.Close()
	journal := openJournal(t)
	_, err = prepared.Up(context.Background(), wantedTunnel(api.CarrierUDP), journal)
	var refused *api.Error
	if !errors.As(err, &refused) || refused.Code != api.CodeRouteConflict || len(refused.Conflicts) != 1 {
		t.Fatalf("up: %v", err)
	}
	if c := refused.Conflicts[0]; c.Wanted != serviceRange || c.Existing.Interface != laptopDevice {
		t.Errorf("conflict %+v", c)
	}
	if after := machineState(t); after != before || len(journal.Entries()) > 0 {
		t.Errorf("the machine was changed:\n%s\n%s", before, after)
	}
}

// TestUpdate changes everything about a tunnel that is up.
func TestUpdate(t *testing.T) {
	wanted := wantedTunnel(api.CarrierUDP)
	wanted.Routes = nil
	s := up(t, wanted)
	ctx := context.Background()
	update := func(change api.UpdateRequest) {
		t.Helper()
		if err := s.Update(ctx, change); err != nil {
			t.Fatal(err)
		}
	}
	update(api.UpdateRequest{Routes: &[]netip.Prefix{serviceRange}})
	exchange(t, service, 100)
	conn := dialService(t, service, echoPort)
	update(api.UpdateRequest{Routes: &[]netip.Prefix{serviceRange, serviceRange6}})
	exchange(t, service6, 100)
	roundTrip(t, conn)

	run(t, "ip route add 10.200.0.0/24 via 192.0.2.2")
	defer run(t, "ip route del 10.200.0.0/24")
	before := run(t, "ip route show table all")
	err := s.Update(ctx, api.UpdateRequest{Routes: &[]netip.Prefix{serviceRange, netip.MustParsePrefix("10.200.0.0/16")}})
	var refused *api.Error
	if !errors.As(err, &refused) || refused.Code != api.CodeRouteConflict {
		t.Errorf("a conflict in an update: %v", err)
	}
	if after := run(t, "ip route show table all"); after != before {
		t.Errorf("a refused update changed the routes:\n%s\n%s", before, after)
	}
	roundTrip(t, conn)
}

// TestWithoutIPv6 goes on with IPv4 and says so.
func TestWithoutIPv6(t *testing.T) {
	const setting = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
	writeFile(t, setting, "1")
	defer writeFile(t, setting, "0")
	s := up(t, wantedTunnel(api.CarrierUDP))
	exchange(t, service, 1000)
	if notes := strings.Join(s.Status().Notes, "; "); !strings.Contains(notes, "IPv6") {
		t.Errorf("notes: %q", notes)
	}
}

func TestIPv6Endpoint(t *testing.T) {
	wanted := wantedTunnel(api.CarrierUDP)
	wanted.Peer.UDP = []netip.AddrPort{netip.AddrPortFrom(gatewayLink6.Addr(), udpPort)}
	s := up(t, wanted)
	exchange(t, service, 1<<20)
	s.await("MTU of Ethernet over IPv6", func(st api.Status) bool { return st.MTU == 1400 && st.UDP.PathMTU == 1480 })
	exchange(t, service6, 1<<20)
}

// TestSecondEndpoint finds the endpoint that answers.
func TestSecondEndpoint(t *testing.T) {
	wanted := wantedTunnel(api.CarrierUDP)
	wanted.Peer.UDP = append([]netip.AddrPort{netip.MustParseAddrPort("192.0.2.77:51820")}, wanted.Peer.UDP...)
	s := up(t, wanted)
	exchange(t, service, 1000)
	if got := s.Status().UDP.Endpoint; got != wanted.Peer.UDP[1].String() {
		t.Errorf("endpoint %s", got)
	}
}

// TestSmallPath makes the path smaller under a session, once so that the system says so and once so that datagrams
// just vanish, and larger again.
func TestSmallPath(t *testing.T) {
	for name, shrink := range map[string]func(testing.TB, string){
		"own interface": func(t testing.TB, mtu string) { run(t, "ip link set "+laptopDevice+" mtu "+mtu) },
		"black hole":    func(t testing.TB, mtu string) { inGateway(t, "ip link set "+gatewayDevice+" mtu "+mtu) },
	} {
		t.Run(name, func(t *testing.T) {
			s := up(t, wantedTunnel(api.CarrierUDP))
			s.await("MTU of Ethernet", func(st api.Status) bool { return st.MTU == 1424 })
			conn := dialService(t, service, echoPort)
			roundTrip(t, conn)
			shrink(t, "1400")
			defer shrink(t, "1500")
			began := time.Now()
			s.await("smaller MTU", func(st api.Status) bool { return st.MTU == 1320 && st.UDP.PathMTU == 1380 })
			t.Logf("MTU is right after %s", time.Since(began).Round(time.Millisecond))
			exchange(t, service, 4<<20)
			roundTrip(t, conn)
		})
	}
}

// TestNarrowPath connects over a path that carries less than the smallest MTU needs: datagrams are fragmented.
func TestNarrowPath(t *testing.T) {
	for _, device := range []string{"laptop", "gateway"} {
		t.Run(device, func(t *testing.T) {
			if device == "laptop" {
				run(t, "ip link set "+laptopDevice+" mtu 1300")
				defer run(t, "ip link set "+laptopDevice+" mtu 1500")
			} else {
				inGateway(t, "ip link set "+gatewayDevice+" mtu 1300")
				defer inGateway(t, "ip link set "+gatewayDevice+" mtu 1500")
			}
			s := up(t, wantedTunnel(api.CarrierUDP))
			s.await("UDP answers", func(st api.Status) bool { return st.UDP.Answered > 0 })
			if device == "laptop" { // what the gateway's side drops no laptop can mend
				conn := dialService(t, service, sinkPort)
				if _, err := conn.Write(make([]byte, 1<<20)); err != nil {
					t.Fatal(err)
				}
				_ = conn.CloseWrite()
				answer, err := bufio.NewReader(conn).ReadString('\n')
				if err != nil || atoi(answer) != 1<<20 {
					t.Errorf("upload: %q %v", answer, err)
				}
			}
			if mtu := s.Status().MTU; mtu != 1280 {
				t.Errorf("MTU %d", mtu)
			}
		})
	}
}

// stateVariable tells the role "session" where its journal is.
const stateVariable = "FAIRLEAD_TEST_STATE"

// runSession is the process of TestKilled: it connects, says so, and waits to be killed.
func runSession() {
	journal, err := restore.Open(os.Getenv(stateVariable), helper.Kinds()...)
	if err != nil {
		panic(err)
	}
	prepared, err := helper.NewMachine(testLog()).Prepare(context.Background())
	if err != nil {
		panic(err)
	}
	fmt.Println(prepared.PublicKey())
	theGateway = &gatewayProcess{publicKey: os.Getenv("FAIRLEAD_TEST_GATEWAY")}
	if _, err := prepared.Up(context.Background(), wantedTunnel(api.CarrierUDP), journal); err != nil {
		panic(err)
	}
	fmt.Println("up")
	select {}
}

// TestKilled kills a process with a tunnel, and puts the machine back from the journal it left.
func TestKilled(t *testing.T) {
	before := machineState(t)
	path := filepath.Join(t.TempDir(), "journal.json")
	session := exec.Command("/proc/self/exe")
	session.Env = append(os.Environ(), roleVariable+"=session", stateVariable+"="+path, "FAIRLEAD_TEST_GATEWAY="+theGateway.publicKey)
	session.Stderr = os.Stderr
	session.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for _, what := range []string{"public key", "up"} {
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatalf("session: %s: %v", what, err)
		}
	}
	if during := machineState(t); during == before {
		t.Error("the session changed nothing")
	}
	if err := session.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = session.Wait() // killed
	for range 2 {
		journal, err := restore.Open(path, helper.Kinds()...)
		if err != nil {
			t.Fatal(err)
		}
		if err := journal.UndoAll(context.Background()); err != nil {
			t.Error(err)
		}
		if err := journal.Close(); err != nil {
			t.Error(err)
		}
		if after := machineState(t); after != before {
			t.Errorf("the machine is not as it was\nbefore:\n%s\nafter:\n%s", before, after)
		}
	}
}

// TestTwoTunnels has a device of the same name in the way.
func TestTwoTunnels(t *testing.T) {
	run(t, "ip tuntap add fairlead0 mode tun")
	defer run(t, "ip tuntap del fairlead0 mode tun")
	s := up(t, wantedTunnel(api.CarrierUDP))
	if s.Device() != "fairlead1" {
		t.Errorf("device %s", s.Device())
	}
	exchange(t, service, 100)
}

// TestUpCanceled ends the context and sees the machine untouched.
func TestUpCanceled(t *testing.T) {
	before := machineState(t)
	prepared, err := helper.NewMachine(testLog()).Prepare(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer prepared.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := prepared.Up(ctx, wantedTunnel(api.CarrierUDP), openJournal(t)); err == nil {
		t.Error("up after the context ended")
	}
	if after := machineState(t); after != before {
		t.Errorf("the machine was changed:\n%s\n%s", before, after)
	}
}

// TestManyConnections opens more connections than a table of the laptop may hold.
func TestManyConnections(t *testing.T) {
	s := up(t, wantedTunnel(api.CarrierUDP))
	const count = 2000
	conns := make([]net.Conn, count)
	for i := range conns {
		conns[i] = dialService(t, service, echoPort)
	}
	for _, c := range conns {
		roundTrip(t, c)
	}
	_ = s
}
