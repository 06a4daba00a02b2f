// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/tests/cluster/host"
)

// checkPrograms names everything that is missing at once.
func checkPrograms(config Config) error {
	needed := map[string]string{
		"containerd": "containerd", "runc": "runc", "iptables": "iptables", "ip": "iproute2", "conntrack": "conntrack", "socat": "socat",
		"setpriv": "util-linux", "/usr/lib/cni/bridge": "containernetworking-plugins", "go": "the Go toolchain",
	}
	if config.Resolver == ResolverResolved {
		needed["dbus-daemon"] = "dbus-daemon"
	}
	var problems []error
	for program, source := range needed {
		if _, err := exec.LookPath(program); err != nil {
			problems = append(problems, fmt.Errorf("%s is missing (%s)", program, source))
		}
	}
	if len(problems) > 0 {
		problems = append(problems, errors.New("install what Debian has with: tests/cluster/install-deps.sh"))
	}
	return errors.Join(problems...)
}

// up does the work of Up, with timing on progress.
func (c *Cluster) up(ctx context.Context) error {
	began := time.Now()
	step := func(format string, args ...any) {
		fmt.Fprintf(c.config.Progress, "%5.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	if err := prepareMachine(); err != nil {
		return err
	}
	if err := c.reserve(); err != nil {
		return err
	}
	if err := c.issueCertificates(); err != nil {
		return err
	}
	if err := c.startHosts(ctx); err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return err
	}
	step("hosts and links")
	group, groupContext := errgroup.WithContext(ctx)
	group.Go(func() error { return c.startControlPlane(groupContext) })
	group.Go(func() error { return c.startRuntimes(groupContext) })
	group.Go(func() error { return c.prepareLaptops(groupContext) })
	if err := group.Wait(); err != nil {
		return err
	}
	step("control plane, container runtime, laptops")
	if err := c.startNodes(ctx); err != nil {
		return err
	}
	if err := c.deployAddons(ctx); err != nil {
		return err
	}
	if !c.config.WithoutShop {
		if err := c.applyShop(ctx, ShopNamespace); err != nil {
			return err
		}
	}
	if err := c.waitNodes(ctx); err != nil {
		return err
	}
	step("nodes ready")
	namespaces := []string{metav1.NamespaceSystem}
	if !c.config.WithoutShop {
		namespaces = append(namespaces, ShopNamespace)
	}
	for _, namespace := range namespaces {
		if err := c.WaitWorkloads(ctx, namespace); err != nil {
			return err
		}
	}
	step("pods ready")
	for _, namespace := range namespaces {
		if err := c.WaitServices(ctx, namespace); err != nil {
			return err
		}
	}
	step("services answer")
	return nil
}

// reserve takes an index that no other cluster of this checkout has, and writes the state.
func (c *Cluster) reserve() error {
	root := filepath.Join(c.config.Root, ".cluster")
	unlock, err := lockFile(filepath.Join(root, ".index.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	taken := map[int]bool{}
	others, err := filepath.Glob(filepath.Join(root, "*", stateFile))
	if err != nil {
		return fmt.Errorf("list clusters: %w", err)
	}
	for _, path := range others {
		var other state
		data, err := os.ReadFile(path)
		if err == nil && json.Unmarshal(data, &other) == nil {
			taken[other.Plan.Index] = true
		}
	}
	index := 0
	for taken[index] {
		index++
	}
	if index >= maximumIndex {
		return fmt.Errorf("all %d networks are taken by other clusters, take one down", maximumIndex)
	}
	c.plan = makePlan(c.config, index)
	if _, err := c.makeFolder("logs"); err != nil {
		return err
	}
	data, err := json.MarshalIndent(state{c.config, c.plan, c.binaries}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode cluster state: %w", err)
	}
	if err := os.WriteFile(filepath.Join(c.folder, stateFile), data, 0o644); err != nil {
		return fmt.Errorf("write cluster state: %w", err)
	}
	return nil
}

// startHosts starts every host and joins them.
func (c *Cluster) startHosts(ctx context.Context) error {
	specs := map[string]host.Spec{c.plan.Router.Name: c.internetSpec()}
	for _, member := range c.plan.Nodes {
		spec, err := c.nodeSpec(member)
		if err != nil {
			return err
		}
		specs[member.Name] = spec
	}
	var resolver *resolvedPackages
	if c.config.Resolver == ResolverResolved {
		var err error
		if resolver, err = fetchResolved(ctx, c.config.Root, c.config.Progress); err != nil {
			return err
		}
	}
	for i, member := range c.plan.Laptops {
		spec, err := c.laptopSpec(member, i+1, resolver)
		if err != nil {
			return err
		}
		specs[member.Name] = spec
	}
	err := c.eachHost(func(member Member) (*host.Host, error) {
		staging, err := c.makeFolder("hosts", member.Name, "staging")
		if err != nil {
			return nil, err
		}
		spec := specs[member.Name]
		spec.Staging = staging
		c.keepVisible(&spec)
		if err := spec.Write(c.specFile(member)); err != nil {
			return nil, err
		}
		return host.Start(ctx, c.binaries.Host, c.specFile(member), c.logFile(member, "init"))
	})
	if err != nil {
		return err
	}
	if err := c.buildLAN(); err != nil {
		return err
	}
	for _, node := range c.nodes {
		if err := c.attach(node.Host, node.Member); err != nil {
			return err
		}
		if err := c.routePods(node); err != nil {
			return err
		}
	}
	for _, laptop := range c.laptops {
		if err := c.attach(laptop.Host, laptop.Member); err != nil {
			return err
		}
	}
	return c.internet.StartComponent(ctx, c.internetServers())
}

// keepVisible binds the repository back if the spec would hide it.
func (c *Cluster) keepVisible(spec *host.Spec) {
	for _, folder := range spec.Overlays {
		if below(c.config.Root, folder) {
			spec.Binds = append([]host.Bind{{Source: c.config.Root, Target: c.config.Root}}, spec.Binds...)
			return
		}
	}
	for _, folder := range spec.Tmpfs {
		if below(c.config.Root, folder.Path) {
			spec.Binds = append([]host.Bind{{Source: c.config.Root, Target: c.config.Root}}, spec.Binds...)
			return
		}
	}
}

func (c *Cluster) internetSpec() host.Spec {
	return host.Spec{
		Hostname: c.plan.Router.Name,
		Tmpfs:    []host.Directory{{Path: "/run", Mode: 0o755}},
		Sysctls:  commonSysctls(),
	}
}

// internetServers serves the public names.
func (c *Cluster) internetServers() host.Component {
	dns, web := publicDNS4.String(), publicWeb4.String()
	if c.plan.dual() {
		dns, web = dns+","+publicDNS6.String(), web+","+publicWeb6.String()
	}
	args := []string{c.binaries.Host, "internet", "--dns", dns, "--web", web}
	for _, name := range publicNames {
		args = append(args, "--name", name+"="+web)
	}
	return host.Component{Name: "servers", Args: args, Log: c.logFile(c.plan.Router, "servers")}
}

// startControlPlane starts etcd, the API server and the controllers.
func (c *Cluster) startControlPlane(ctx context.Context) error {
	for _, component := range []host.Component{c.etcd(), c.apiServer()} {
		if err := c.nodes[0].StartComponent(ctx, component); err != nil {
			return err
		}
	}
	if err := c.waitAPIServer(ctx); err != nil {
		return err
	}
	if err := c.registerNodes(ctx); err != nil {
		return err
	}
	for _, component := range c.controllers() {
		if err := c.nodes[0].StartComponent(ctx, component); err != nil {
			return err
		}
	}
	return nil
}

// startRuntimes starts containerd on every node and fills it with images.
func (c *Cluster) startRuntimes(ctx context.Context) error {
	group, groupContext := errgroup.WithContext(ctx)
	for _, node := range c.nodes {
		group.Go(func() error {
			if err := node.masquerade(groupContext); err != nil {
				return err
			}
			if err := node.StartComponent(groupContext, c.containerd(node.Member)); err != nil {
				return err
			}
			return node.waitContainerd(groupContext)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	images := []Image{
		{Ref: pauseImage, Name: "pause", Binary: c.binaries.Pause}, {Ref: coreDNSImage, Name: "coredns", Binary: c.binaries.CoreDNS},
	}
	if !c.config.WithoutShop {
		images = append(images, Image{Ref: ShopImage, Name: "shop", Binary: c.binaries.Shop})
	}
	for _, image := range images {
		if err := c.LoadImage(ctx, image); err != nil {
			return err
		}
	}
	return c.loadBuiltAgent(ctx)
}

// loadBuiltAgent puts the agent on the nodes if it is built.
func (c *Cluster) loadBuiltAgent(ctx context.Context) error {
	if _, err := os.Stat(agentFile(c.config.Root)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return c.LoadAgent(ctx)
}

// startNodes starts kubelet and kube-proxy everywhere.
func (c *Cluster) startNodes(ctx context.Context) error {
	for _, node := range c.nodes {
		for _, component := range c.nodeComponents(node.Member) {
			if err := node.StartComponent(ctx, component); err != nil {
				return err
			}
		}
	}
	return nil
}
