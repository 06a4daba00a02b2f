// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/tests/cluster/host"
)

// Node is a running node of a cluster. node1 has the control plane.
type Node struct {
	*host.Host
	Member
	cluster *Cluster
}

const (
	containerdSocket = "/run/containerd/containerd.sock"
	// systemPath is the PATH of programs on nodes and, after their own folders, on laptops.
	systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// Command prepares a program to run as root on the node.
func (n *Node) Command(ctx context.Context, args ...string) *exec.Cmd {
	environment := []string{"PATH=" + systemPath, "HOME=/root", "KUBECONFIG=" + n.cluster.AdminKubeconfig()}
	return n.Host.Command(ctx, host.ExecOptions{PID: n.PID}, environment, args...)
}

// cgroup is where the node's pods are accounted for.
func (c *Cluster) cgroup(member Member) string { return c.cgroupRoot() + "/" + member.Name }

// nodeSpec is a node's file system: the machine's, with private /etc, /var, /run and /tmp. Folders with much data are
// on disk, in the cluster's folder.
func (c *Cluster) nodeSpec(member Member) (host.Spec, error) {
	spec := host.Spec{
		Hostname: member.Name,
		Overlays: []string{"/etc", "/var"},
		Tmpfs:    []host.Directory{{Path: "/run", Mode: 0o755}, {Path: "/tmp", Mode: 0o777 | fs.ModeSticky}},
		Files: []host.File{
			{Path: "/etc/hostname", Content: member.Name + "\n", Mode: 0o644},
			{Path: "/etc/hosts", Content: c.hostsFile(member), Mode: 0o644},
			{Path: "/etc/resolv.conf", Content: resolvConf(), Mode: 0o644},
			{Path: "/etc/containerd/fairlead.toml", Content: containerdConfig, Mode: 0o644},
			{Path: "/etc/kubernetes/kubelet.yaml", Content: c.kubeletConfig(member), Mode: 0o644},
		},
		// Kubelet sets these for the whole machine unless they are so already.
		Masks: []host.File{
			{Path: "/proc/sys/vm/overcommit_memory", Content: "1\n", Mode: 0o644},
			{Path: "/proc/sys/vm/panic_on_oom", Content: "0\n", Mode: 0o644},
			{Path: "/proc/sys/kernel/panic", Content: "10\n", Mode: 0o644},
			{Path: "/proc/sys/kernel/panic_on_oops", Content: "1\n", Mode: 0o644},
			{Path: "/proc/sys/kernel/keys/root_maxkeys", Content: "1000000\n", Mode: 0o644},
			{Path: "/proc/sys/kernel/keys/root_maxbytes", Content: "25000000\n", Mode: 0o644},
		},
		Sysctls: append(commonSysctls(),
			host.Sysctl{Key: "net/ipv4/ip_forward", Value: "1"},
			host.Sysctl{Key: "net/ipv6/conf/all/forwarding", Value: "1"},
		),
		Cgroups: []string{c.cgroup(member)},
	}
	for folder, target := range map[string]string{"containerd": "/var/lib/containerd", "kubelet": "/var/lib/kubelet", "etcd": "/var/lib/etcd"} {
		source, err := c.makeFolder("hosts", member.Name, folder)
		if err != nil {
			return spec, err
		}
		spec.Binds = append(spec.Binds, host.Bind{Source: source, Target: target})
	}
	network, err := c.cniConfig(member)
	if err != nil {
		return spec, err
	}
	spec.Files = append(spec.Files, host.File{Path: "/etc/cni/net.d/10-bridge.conflist", Content: network, Mode: 0o644})
	return spec, nil
}

// commonSysctls hold on every host.
func commonSysctls() []host.Sysctl {
	return []host.Sysctl{
		{Key: "net/ipv4/tcp_congestion_control", Value: congestionControl},
		{Key: "net/ipv6/conf/all/accept_ra", Value: "0"},
		{Key: "net/ipv6/conf/default/accept_ra", Value: "0"},
	}
}

const containerdConfig = `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "` + containerdSocket + `"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + pauseImage + `"
  restrict_oom_score_adj = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
`

func (c *Cluster) kubeletConfig(member Member) string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  x509: {clientCAFile: %[1]q}
tlsCertFile: %[2]q
tlsPrivateKeyFile: %[3]q
containerRuntimeEndpoint: unix://%[4]s
cgroupDriver: cgroupfs
cgroupRoot: %[5]q
failCgroupV1: false
failSwapOn: false
clusterDNS: [%[6]q]
clusterDomain: cluster.local
resolvConf: /etc/resolv.conf
volumePluginDir: /var/lib/kubelet/volumeplugins
serializeImagePulls: false
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 50Mi, nodefs.available: "0%%", nodefs.inodesFree: "0%%", imagefs.available: "0%%"}
nodeStatusUpdateFrequency: 5s
`, c.certificateFile("ca.crt"), c.certificateFile(member.Name+"-serving.crt"), c.certificateFile(member.Name+"-serving.key"),
		containerdSocket, c.cgroup(member), dnsService4)
}

// cniConfig is a bridge for the node's pods. Masquerading is not the bridge's, which would also hide the addresses of
// pods from pods on other nodes. Pods get the congestion control of the hosts; they would have the machine's.
func (c *Cluster) cniConfig(member Member) (string, error) {
	ranges := [][]map[string]string{{{"subnet": member.Pods4.String()}}}
	routes := []map[string]string{{"dst": "0.0.0.0/0"}}
	if c.plan.dual() {
		ranges = append(ranges, []map[string]string{{"subnet": member.Pods6.String()}})
		routes = append(routes, map[string]string{"dst": "::/0"})
	}
	data, err := json.MarshalIndent(map[string]any{
		"cniVersion": "1.0.0",
		"name":       "pods",
		"plugins": []any{
			map[string]any{
				"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "mtu": linkMTU,
				"ipam": map[string]any{"type": "host-local", "ranges": ranges, "routes": routes},
			},
			map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}},
			map[string]any{"type": "tuning", "sysctl": map[string]string{"net.ipv4.tcp_congestion_control": congestionControl}},
		},
	}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode network of pods: %w", err)
	}
	return string(data), nil
}

// masquerade gives packets of pods that leave the cluster the node's address.
func (n *Node) masquerade(ctx context.Context) error {
	rules := [][]string{{"iptables", podRange4.String()}}
	if n.cluster.plan.dual() {
		rules = append(rules, []string{"ip6tables", podRange6.String()})
	}
	for _, rule := range rules {
		program, pods := rule[0], rule[1]
		output, err := n.Command(ctx, program, "-w", "-t", "nat", "-A", "POSTROUTING", "-s", pods, "!", "-d", pods, "-j", "MASQUERADE").CombinedOutput()
		if err != nil {
			return fmt.Errorf("masquerade pods on %s: %w: %s", n.Name, err, bytes.TrimSpace(output))
		}
	}
	return nil
}

// issueNodeCertificates makes the credentials of kubelet and kube-proxy.
func (c *Cluster) issueNodeCertificates(member Member) error {
	if err := c.authority.server(member.Name+"-serving", []string{member.Name}, member.Addresses()); err != nil {
		return err
	}
	path := c.certificateFile(member.Name + ".kubeconfig")
	return c.writeComponentKubeconfig(path, "system:node:"+member.Name, "system:nodes")
}

// nodeComponents are what runs on every node, in the order they start.
func (c *Cluster) nodeComponents(member Member) []host.Component {
	nodeAddresses := make([]string, 0, 2)
	for _, address := range member.Addresses() {
		nodeAddresses = append(nodeAddresses, address.String())
	}
	return []host.Component{
		c.kubernetesComponent(member, "kubelet",
			"--config=/etc/kubernetes/kubelet.yaml",
			"--kubeconfig="+c.certificateFile(member.Name+".kubeconfig"),
			"--hostname-override="+member.Name,
			"--node-ip="+strings.Join(nodeAddresses, ","),
		),
		c.kubeProxy(member),
	}
}

func (c *Cluster) kubeProxy(member Member) host.Component {
	return c.kubernetesComponent(member, kubeProxyName,
		"--kubeconfig="+c.certificateFile("kube-proxy.kubeconfig"),
		"--hostname-override="+member.Name,
		"--cluster-cidr="+c.plan.family(podRange4, podRange6),
		"--conntrack-max-per-core=0",
		"--proxy-mode=iptables",
	)
}

func (c *Cluster) containerd(member Member) host.Component {
	return host.Component{
		Name: "containerd",
		Args: []string{"/usr/bin/containerd", "--config", "/etc/containerd/fairlead.toml"},
		Env:  []string{"PATH=" + systemPath},
		Log:  c.logFile(member, "containerd"),
	}
}

// kubernetesComponent is a sub-command of the kubernetes binary.
func (c *Cluster) kubernetesComponent(member Member, name string, flags ...string) host.Component {
	return host.Component{
		Name: name,
		Args: append([]string{c.binaries.Kubernetes, name}, flags...),
		Env:  []string{"PATH=" + systemPath, "HOME=/root"},
		Log:  c.logFile(member, name),
	}
}

// waitContainerd waits until the container runtime answers.
func (n *Node) waitContainerd(ctx context.Context) error {
	return poll(ctx, "containerd on "+n.Name, 30*time.Second, func() error {
		return n.Command(ctx, "ctr", "-a", containerdSocket, "version").Run()
	})
}

func (c *Cluster) hostsFile(member Member) string {
	return "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t" + member.Name + "\n"
}

func resolvConf() string { return "nameserver " + publicDNS4.String() + "\n" }

func (c *Cluster) logFile(member Member, component string) string {
	return filepath.Join(c.folder, "logs", member.Name+"-"+component+".log")
}

// apiServerAddresses are what the API server's certificate is valid for.
func (c *Cluster) apiServerAddresses() []netip.Addr {
	return append(c.plan.Nodes[0].Addresses(), apiService4, serviceRange6.Addr().Next(),
		netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback())
}
