// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/tests/cluster/host"
)

// nodePorts make two services of the shop reachable from laptops.
const nodePorts = `
apiVersion: v1
kind: Service
metadata: {name: ledger-port, namespace: shop}
spec:
  type: NodePort
  selector: {app: ledger}
  ports: [{name: ledger, port: 7000, nodePort: 30700}]
---
apiVersion: v1
kind: Service
metadata: {name: echo-port, namespace: shop}
spec:
  type: NodePort
  selector: {app: echo}
  ports: [{name: echo, port: 7, targetPort: echo, nodePort: 30007, protocol: UDP}]
`

// TestClusterLifecycle brings up the largest variant, looks at everything that other tests rely on, and takes it down
// with a node missing. It needs root, and Debian's packages (install-deps.sh).
func TestClusterLifecycle(t *testing.T) {
	before := machineState(t)
	config := Config{Name: "lifecycle", Nodes: 2, Laptops: 2, Family: Dual, Resolver: ResolverResolved, Progress: t.Output()}
	c, err := Up(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Down(context.Background(), config.Name, ""); err != nil {
			t.Error(err)
		}
	})
	t.Run("nodes", func(t *testing.T) { checkNodes(t, c) })
	t.Run("laptop", func(t *testing.T) { checkLaptop(t, c.Laptop(0)) })
	t.Run("second laptop", func(t *testing.T) { checkSecondLaptop(t, c) })
	t.Run("commands", func(t *testing.T) { checkCommands(t, c.Laptop(0)) })
	t.Run("credentials", func(t *testing.T) { checkCredentials(t, c) })
	t.Run("snapshot", func(t *testing.T) { checkSnapshot(t, c.Laptop(0)) })
	t.Run("links", func(t *testing.T) { checkLinks(t, c) })
	t.Run("relay", func(t *testing.T) { checkRelay(t, c.Laptop(0)) })
	t.Run("API server restart", func(t *testing.T) {
		if err := c.RestartAPIServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Kubernetes().CoreV1().Namespaces().Get(t.Context(), ShopNamespace, metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("another cluster at once", func(t *testing.T) { checkSecondCluster(t, c) })
	t.Run("down with a node missing", func(t *testing.T) { checkDown(t, c, before) })
}

// output runs a command on a laptop and returns what it prints, without the last newline.
func output(t *testing.T, laptop *Laptop, user string, args ...string) string {
	t.Helper()
	out, err := laptop.Command(t.Context(), user, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%v as %s on %s: %v\n%s", args, user, laptop.Name, err, out)
	}
	return strings.TrimSpace(string(out))
}

func checkNodes(t *testing.T, c *Cluster) {
	if got := output(t, c.Laptop(0), Developer, "kubectl", "get", "nodes", "--no-headers", "-o", "custom-columns=:.metadata.name"); got != "node1\nnode2" {
		t.Errorf("nodes: %q", got)
	}
	// The front asks the catalog by name: cluster DNS, kube-proxy and the way between nodes work.
	front := output(t, c.Laptop(0), Developer, "kubectl", "get", "--raw", "/api/v1/namespaces/shop/services/front:80/proxy/")
	if !strings.Contains(front, `"pod":"catalog-`) {
		t.Errorf("front answers %s", front)
	}
	service, err := c.Kubernetes().CoreV1().Services(ShopNamespace).Get(t.Context(), "catalog", metav1.GetOptions{})
	if err != nil || len(service.Spec.ClusterIPs) != 2 {
		t.Errorf("catalog should have two addresses: %v, %v", service.Spec.ClusterIPs, err)
	}
	congestion, err := c.Node(1).Command(t.Context(), "cat", "/proc/sys/net/ipv4/tcp_congestion_control").Output()
	if err != nil || string(congestion) != congestionControl+"\n" {
		t.Errorf("congestion control %q, %v", congestion, err)
	}
}

func checkLaptop(t *testing.T, laptop *Laptop) {
	for _, family := range []string{"-4", "-6"} {
		if got := output(t, laptop, Developer, "curl", family, "-sS", "-m", "5", "http://www.example.com/"); !strings.HasPrefix(got, "public www.example.com") {
			t.Errorf("curl %s of a public name: %q", family, got)
		}
	}
	if out, err := laptop.Command(t.Context(), Developer, "getent", "hosts", "catalog.shop").CombinedOutput(); err == nil {
		t.Errorf("a name of the cluster resolves: %s", out)
	}
	if got := output(t, laptop, "root", "resolvectl", "query", "catalog.dev"); !strings.Contains(got, publicWeb4.String()) {
		t.Errorf("resolvectl query: %s", got)
	}
	if got := output(t, laptop, Developer, "readlink", "/etc/resolv.conf"); got != "../run/systemd/resolve/stub-resolv.conf" {
		t.Errorf("/etc/resolv.conf is a link to %q", got)
	}
	if got, want := output(t, laptop, Developer, "sh", "-c", "id -un; id -Gn; echo $HOME; hostname; pwd"), "dev\ndev fairlead\n/home/dev\nlaptop1\n/home/dev"; got != want {
		t.Errorf("developer is %q, want %q", got, want)
	}
	if err := laptop.StopResolver(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := laptop.StartResolver(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := output(t, laptop, Developer, "getent", "hosts", "catalog.dev"); !strings.Contains(got, "catalog.dev") {
		t.Errorf("after a restart of the resolver: %q", got)
	}
}

func checkSecondLaptop(t *testing.T, c *Cluster) {
	output(t, c.Laptop(0), "root", "touch", "/etc/mine", "/tmp/mine", "/run/mine")
	for _, path := range []string{"/etc/mine", "/tmp/mine", "/run/mine"} {
		if _, err := os.Stat(c.Laptop(0).Path(path)); err != nil {
			t.Error(err)
		}
		for _, elsewhere := range []string{path, c.Laptop(1).Path(path)} {
			if _, err := os.Stat(elsewhere); err == nil {
				t.Errorf("a file of laptop1 is at %s", elsewhere)
			}
		}
	}
	if got := output(t, c.Laptop(1), Developer, "kubectl", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"); got != "dev2" {
		t.Errorf("the second laptop's developer is %q", got)
	}
}

func checkCommands(t *testing.T, laptop *Laptop) {
	var exit *exec.ExitError
	if err := laptop.Command(t.Context(), Developer, "sh", "-c", "exit 7").Run(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("exit code: %v", err)
	}
	signaled := laptop.Command(t.Context(), Developer, "bash", "-c", "trap 'exit 9' TERM; echo ready; while :; do read -t 60; done")
	stdin, stdout := pipes(t, signaled)
	defer stdin.Close()
	if _, err := io.ReadFull(stdout, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	if err := signaled.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := signaled.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 9 {
		t.Errorf("a signal did not reach the program: %v", err)
	}
	killed := laptop.Command(t.Context(), "root", "sh", "-c", "echo $$; exec sleep 1000")
	stdin, stdout = pipes(t, killed)
	defer stdin.Close()
	var pid [16]byte
	size, err := stdout.Read(pid[:])
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait()
	process := laptop.Path("/proc/" + strings.TrimSpace(string(pid[:size])) + "/cmdline")
	err = poll(t.Context(), "the program to be killed", 5*time.Second, func() error {
		if line, err := os.ReadFile(process); err == nil && bytes.Contains(line, []byte("sleep")) {
			return errors.New("it still runs")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func checkCredentials(t *testing.T, c *Cluster) {
	kubectl := func(kubeconfig string, args ...string) string {
		out, _ := c.Laptop(0).Command(t.Context(), Developer, append([]string{"kubectl", "--kubeconfig", kubeconfig}, args...)...).CombinedOutput()
		return string(out)
	}
	path, err := c.UserKubeconfig("alice@example.com", "developers")
	if err != nil {
		t.Fatal(err)
	}
	if got := kubectl(path, "auth", "whoami"); !strings.Contains(got, "alice@example.com") || !strings.Contains(got, "developers") {
		t.Errorf("whoami: %s", got)
	}
	if got := kubectl(path, "get", "nodes"); !strings.Contains(got, "Forbidden") {
		t.Errorf("a user without rights gets %s", got)
	}
	for lifetime, want := range map[time.Duration]string{time.Hour: "system:serviceaccount:shop:tester", -time.Minute: "must be logged in"} {
		path, err := c.TokenKubeconfig(t.Context(), ShopNamespace, "tester", lifetime)
		if err != nil {
			t.Fatal(err)
		}
		if got := kubectl(path, "auth", "whoami"); !strings.Contains(got, want) {
			t.Errorf("a token that lives %s: %s", lifetime, got)
		}
	}
}

func checkSnapshot(t *testing.T, laptop *Laptop) {
	snapshot := func() string {
		text, err := laptop.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := snapshot()
	if after := snapshot(); after != before {
		t.Errorf("two snapshots differ:\n%s\n---\n%s", before, after)
	}
	for _, change := range [][2]string{
		{"ip route add 10.9.0.0/16 via " + laptop.cluster.plan.Router.IPv4.String(), "ip route del 10.9.0.0/16"},
		{"ip -6 rule add pref 100 lookup 100", "ip -6 rule del pref 100"},
		{"resolvectl domain eth0 example.net", "resolvectl domain eth0 ''"},
	} {
		output(t, laptop, "root", "sh", "-c", change[0])
		if snapshot() == before {
			t.Errorf("a snapshot does not show: %s", change[0])
		}
		output(t, laptop, "root", "sh", "-c", change[1])
		if snapshot() != before {
			t.Errorf("a snapshot still shows: %s", change[0])
		}
	}
}

func checkSecondCluster(t *testing.T, first *Cluster) {
	config := Config{Name: "lifecycle2", WithoutShop: true, Progress: t.Output()}
	second, err := Up(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if second.Plan().Link4 == first.Plan().Link4 {
		t.Errorf("both clusters have the link %s", second.Plan().Link4)
	}
	if got := output(t, second.Laptop(0), Developer, "kubectl", "get", "nodes", "-o", "name"); got != "node/node1" {
		t.Errorf("nodes of the second cluster: %q", got)
	}
	again, err := Open(config.Name, "")
	if err != nil || again.Node(0).PID != second.Node(0).PID {
		t.Errorf("opening a cluster that is up: %v", err)
	}
	if err := second.Down(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := Open(config.Name, ""); err == nil {
		t.Error("a cluster that is down can be opened")
	}
}

func checkDown(t *testing.T, c *Cluster, before string) {
	if err := syscall.Kill(c.Node(1).PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second has nothing to do
		if err := c.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(c.Folder()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if _, err := host.Find(c.specFile(c.plan.Nodes[0])); !errors.Is(err, host.ErrNotRunning) {
		t.Errorf("a host is still there: %v", err)
	}
	groups, err := filepath.Glob("/sys/fs/cgroup/*" + c.cgroupRoot())
	if err != nil || len(groups) > 0 {
		t.Errorf("control groups are still there: %v, %v", groups, err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), c.Folder()) {
		t.Errorf("mounts are still there: %v\n%s", err, mounts)
	}
	if after := machineState(t); after != before {
		t.Errorf("the machine has changed:\n%s\n---\n%s", before, after)
	}
}

// machineState is what a cluster must not change of the machine.
func machineState(t *testing.T) string {
	t.Helper()
	state, err := exec.Command("sh", "-c", `ip -4 route show table all; ip -6 route show table all; ip rule
		cat /etc/resolv.conf /etc/passwd
		cat /proc/sys/vm/overcommit_memory /proc/sys/kernel/panic /proc/sys/kernel/panic_on_oops /proc/sys/net/ipv4/tcp_congestion_control /proc/sys/net/ipv4/ip_forward`).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(state)
}
