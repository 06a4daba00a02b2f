// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
)

// The test network: laptop and gateway on one link, services behind the gateway. Only the gateway's own address is
// reachable without the tunnel.
var (
	laptopLink   = netip.MustParsePrefix("192.0.2.1/24")
	gatewayLink  = netip.MustParsePrefix("192.0.2.2/24")
	laptopLink6  = netip.MustParsePrefix("2001:db8::1/64")
	gatewayLink6 = netip.MustParsePrefix("2001:db8::2/64")
	service      = netip.MustParseAddr("10.96.0.10")
	service6     = netip.MustParseAddr("fd00:96::10")

	laptopTunnel   = netip.MustParseAddr("198.19.0.1")
	gatewayTunnel  = netip.MustParseAddr("198.19.0.0")
	laptopTunnel6  = netip.MustParseAddr("fd5a::1")
	gatewayTunnel6 = netip.MustParseAddr("fd5a::")

	serviceRange  = netip.MustParsePrefix("10.96.0.0/16")
	serviceRange6 = netip.MustParsePrefix("fd00:96::/112")
)

const (
	laptopDevice  = "uplink"
	gatewayDevice = "downlink"

	udpPort    = 51820
	relayPort  = 8642
	echoPort   = 7 // TCP and UDP
	sourcePort = 19
	sinkPort   = 9
	closedPort = 4 // nobody listens
)

// setUpLaptop makes the network of the tests and starts the gateway.
func setUpLaptop() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount a /run of our own: %w", err)
	}
	if err := syscall.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys of our namespace: %w", err)
	}
	if err := useCubic(); err != nil {
		return err
	}
	gateway, err := startGateway()
	if err != nil {
		return err
	}
	theGateway = gateway
	veth := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: gatewayDevice}
	veth.Name = laptopDevice
	veth.PeerNamespace = netlink.NsPid(gateway.process.Process.Pid)
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("join laptop and gateway: %w", err)
	}
	if err := raise("lo"); err != nil {
		return err
	}
	if err := raise(laptopDevice, laptopLink, laptopLink6); err != nil {
		return err
	}
	// A default route, as laptops have: to the gateway's host, which does not forward.
	err = netlink.RouteAdd(&netlink.Route{Gw: gatewayLink.Addr().AsSlice()})
	if err != nil {
		return fmt.Errorf("add default route: %w", err)
	}
	return gateway.begin()
}

// useCubic makes TCP behave as on most machines: some default to bbr, which hides losses.
func useCubic() error {
	if err := os.WriteFile("/proc/sys/net/ipv4/tcp_congestion_control", []byte("cubic"), 0); err != nil {
		return fmt.Errorf("use cubic: %w", err)
	}
	return nil
}

// raise gives an interface addresses and brings it up.
func raise(device string, addresses ...netip.Prefix) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s: %w", device, err)
	}
	for _, p := range addresses {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if p.Addr().Is6() {
			addr.Flags = syscall.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add %s to %s: %w", p, device, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring %s up: %w", device, err)
	}
	return nil
}

// setUplink connects or cuts the laptop's link.
func setUplink(t testing.TB, up bool) {
	t.Helper()
	link, err := netlink.LinkByName(laptopDevice)
	if err != nil {
		t.Fatal(err)
	}
	if !up {
		if err := netlink.LinkSetDown(link); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: &net.IPNet{
		IP: laptopLink6.Addr().AsSlice(), Mask: net.CIDRMask(laptopLink6.Bits(), 128),
	}, Flags: syscall.IFA_F_NODAD}); err != nil {
		t.Fatal(err)
	}
	if err := netlink.RouteReplace(&netlink.Route{Gw: gatewayLink.Addr().AsSlice()}); err != nil {
		t.Fatal(err)
	}
}

// machineState is what a tunnel may change, as the tools of the system print it, and the folder of control sockets.
func machineState(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, command := range []string{
		"ip -4 rule show", "ip -6 rule show", "ip -4 route show table all", "ip -6 route show table all",
		"ip -o addr show", "ip -o link show", "ls -la /run",
	} {
		words := strings.Fields(command)
		out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, " . ") || strings.HasSuffix(strings.TrimSpace(line), " .") || strings.HasPrefix(line, "total") {
				continue // the folder's own time
			}
			b.WriteString(line)
		}
	}
	return strings.ReplaceAll(b.String(), "expires", "")
}

// namespaceOf names the network namespace of a process.
func namespaceOf(pid int) string { return fmt.Sprintf("/proc/%d/ns/net", pid) }

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
