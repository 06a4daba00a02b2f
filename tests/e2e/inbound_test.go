// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// place is somewhere that a laptop could be attacked from.
type place struct {
	name    string
	network string // path of its network namespace
	device  string // that packets must leave by; empty for what the routes say
	run     func(args ...string) error
}

// dial connects from the place.
func (p place) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		handle, problem := netns.GetFromPath(p.network)
		if problem == nil {
			defer handle.Close()
			problem = netns.Set(handle)
		}
		if problem == nil {
			dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
				if p.device != "" {
					_ = raw.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), p.device) })
				}
				return err
			}}
			conn, problem = dialer.DialContext(ctx, network, address)
		}
		err <- problem
	}()
	problem := <-err
	return conn, problem
}

// openPorts tries a connection to each port and returns those that accept one.
func (p place) openPorts(ctx context.Context, address netip.Addr, ports []int) []int {
	var mu sync.Mutex
	var open []int
	var group errgroup.Group
	group.SetLimit(600)
	for _, port := range ports {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			defer cancel()
			conn, err := p.dial(ctx, "tcp", netip.AddrPortFrom(address, uint16(port)).String())
			if err == nil {
				conn.Close()
				mu.Lock()
				open = append(open, port)
				mu.Unlock()
			}
			return nil
		})
	}
	_ = group.Wait()
	slices.Sort(open)
	return open
}

// answersDatagram reports whether a datagram gets an answer.
func (p place) answersDatagram(ctx context.Context, address netip.Addr, port int) bool {
	conn, err := p.dial(ctx, "udp", netip.AddrPortFrom(address, uint16(port)).String())
	if err != nil {
		return false
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("anyone there?"))
	if err := conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		return false
	}
	_, err = conn.Read(make([]byte, 100))
	return err == nil
}

// pings reports whether an address answers ping.
func (p place) pings(address netip.Addr) bool {
	args := []string{"ping", "-c", "1", "-W", "1"}
	if p.device != "" {
		args = append(args, "-I", p.device)
	}
	return p.run(append(args, address.String())...) == nil
}

// podPlace is inside a pod: its network, without what its container may not do.
func podPlace(t *testing.T, pod corev1.Pod) place {
	t.Helper()
	node := env.Cluster.Node(0)
	id := strings.TrimPrefix(pod.Status.ContainerStatuses[0].ContainerID, "containerd://")
	out, err := node.Command(t.Context(), "sh", "-c", "ctr -a /run/containerd/containerd.sock -n k8s.io tasks ls | awk '$1==\""+id+"\"{print $2}'").Output()
	pid := strings.TrimSpace(string(out))
	if err != nil || pid == "" {
		t.Fatalf("find the process of pod %s: %v", pod.Name, err)
	}
	return place{
		name: "the pod " + pod.Name, network: node.Path("/proc/" + pid + "/ns/net"),
		run: func(args ...string) error {
			return node.Command(context.WithoutCancel(t.Context()), append([]string{"nsenter", "--net=/proc/" + pid + "/ns/net"}, args...)...).Run()
		},
	}
}

// laptopPlace is another laptop.
func laptopPlace(t *testing.T, index int, device string) place {
	laptop := env.Laptop(index)
	p := place{name: "another laptop", network: fmt.Sprintf("/proc/%d/ns/net", env.Cluster.Laptop(index).PID), device: device}
	if device != "" {
		p.name += " through its tunnel"
	}
	p.run = func(args ...string) error { return exitError(laptop.TryAs(t, "root", args...)) }
	return p
}

func runningPod(t *testing.T, namespace, selector string) corev1.Pod {
	t.Helper()
	pods, err := env.Cluster.Kubernetes().CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: selector, FieldSelector: "status.phase=Running"})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("no pod runs in %s with %s: %v", namespace, selector, err)
	}
	return pods.Items[0]
}

// TestTheClusterCannotReachALaptop tries every way in: from a pod, from a pod that takes the gateway's pod for its router,
// from the gateway's own pod, from a node, and from another laptop, beside its tunnel and through it.
func TestTheClusterCannotReachALaptop(t *testing.T) {
	const tcpPort, udpPort = 9998, 9997
	laptop, other := env.Laptop(0), env.Laptop(1)
	laptop.Connect(t)
	other.Connect(t, "--kubeconfig", kubeconfig(t, "eve"))
	status := laptop.Status(t)
	target := status.Addresses[0]
	if other.Status(t).Addresses[0] == target {
		t.Fatal("both laptops have one address")
	}

	// Programs on the laptop that listen on every address, and note who comes.
	laptop.Run(t, "rm", "-f", "/tmp/heard")
	listen(t, laptop, fmt.Sprintf("TCP-LISTEN:%d,fork,reuseaddr", tcpPort))
	listen(t, laptop, fmt.Sprintf("UDP-RECVFROM:%d,fork", udpPort))
	ports := []int{tcpPort, udpPort}
	for port := 1; port <= 1024; port++ {
		ports = append(ports, port)
	}
	itself := laptopPlace(t, 0, "")
	harness.Eventually(t, 10*time.Second, "the laptop reaches itself", func() error {
		if open := itself.openPorts(t.Context(), target, []int{tcpPort}); len(open) != 1 || !itself.answersDatagram(t.Context(), target, udpPort) || !itself.pings(target) {
			return fmt.Errorf("TCP ports %v answer", open)
		}
		return nil
	})

	gateway := runningPod(t, "fairlead", "app.kubernetes.io/component=gateway,fairlead.dev/active=true")
	pod := podPlace(t, runningPod(t, "shop", "app=catalog"))
	node := env.Cluster.Node(0)
	if !pod.pings(netip.MustParseAddr(gateway.Status.PodIP)) {
		t.Error("a pod that can't even ping the gateway's pod tells nothing")
	}
	places := []place{
		pod, podPlace(t, gateway),
		{name: "a node", network: fmt.Sprintf("/proc/%d/ns/net", node.PID), run: func(args ...string) error {
			return node.Command(t.Context(), args...).Run()
		}},
		laptopPlace(t, 1, ""), laptopPlace(t, 1, "fairlead0"),
	}
	try := func(p place) {
		t.Run(p.name, func(t *testing.T) {
			if open := p.openPorts(t.Context(), target, ports); len(open) > 0 {
				t.Errorf("TCP ports that accept connections: %v", open)
			}
			for _, port := range []int{udpPort, 53, 51820} {
				if p.answersDatagram(t.Context(), target, port) {
					t.Errorf("UDP port %d answers", port)
				}
			}
			if p.pings(target) {
				t.Error("it answers ping")
			}
		})
	}
	for _, p := range places {
		try(p)
	}
	// The gateway's pod as the router, as whoever has a pod's network to himself could choose.
	if err := pod.run("ip", "route", "replace", target.String(), "via", gateway.Status.PodIP); err != nil {
		t.Fatalf("make the gateway the pod's router: %v", err)
	}
	t.Cleanup(func() {
		if err := pod.run("ip", "route", "del", target.String()); err != nil {
			t.Errorf("put the pod's routes back: %v", err)
		}
	})
	pod.name += " by way of the gateway"
	try(pod)
	for caller := range strings.Lines(laptop.Run(t, "cat", "/tmp/heard")) {
		if own, err := netip.ParseAddr(strings.TrimSpace(caller)); err != nil || own != target {
			t.Errorf("the laptop heard %q", caller)
		}
	}
}

// listen runs a program on the laptop that notes in /tmp/heard the address of whoever comes, until the test ends.
func listen(t *testing.T, laptop *harness.Laptop, address string) {
	t.Helper()
	command := laptop.Command(t.Context(), harness.User, "socat", address, "SYSTEM:echo $SOCAT_PEERADDR >>/tmp/heard; echo exposed")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
}
