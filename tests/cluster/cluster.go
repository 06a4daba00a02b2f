// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/fairlead-dev/fairlead/tests/cluster/host"
)

// Cluster is a running cluster. It is safe for concurrent use, but for Up and Down of the same name, which wait for
// each other.
type Cluster struct {
	config     Config
	plan       Plan
	folder     string
	binaries   Binaries
	authority  *authority
	internet   *host.Host
	nodes      []*Node
	laptops    []*Laptop
	rest       *rest.Config
	kubernetes kubernetes.Interface
}

// state is what a later process needs to find a cluster again.
type state struct {
	Config   Config   `json:"config"`
	Plan     Plan     `json:"plan"`
	Binaries Binaries `json:"binaries"`
}

const stateFile = "state.json"

// Up brings a cluster up and returns when its nodes are ready, and cluster DNS and the shop, if wanted, answer by name
// on every node. A cluster
// of the same name and shape that is up already is returned as it is. The nodes have the image of bin/fairlead-agent as
// it is now, if that is built. It needs root. What a failed Up started is
// ended; its logs stay until the next Up or Down.
func Up(ctx context.Context, config Config) (*Cluster, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("bring up cluster: network namespaces need root, run this with sudo")
	}
	if err := checkPrograms(config); err != nil {
		return nil, err
	}
	unlock, err := lockName(config)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if existing, err := open(config); err == nil {
		if !existing.config.sameShape(config) {
			return nil, fmt.Errorf("cluster %q is up with another shape; take it down first: make cluster-down NAME=%s", config.Name, config.Name)
		}
		fmt.Fprintf(config.Progress, "cluster %s is up already\n", config.Name)
		return existing, existing.loadBuiltAgent(ctx)
	}
	if err := down(ctx, config); err != nil {
		return nil, err
	}
	cluster := &Cluster{config: config, folder: folderOf(config)}
	if cluster.binaries, err = Build(ctx, config.Root, config.Progress); err != nil {
		return nil, err
	}
	if err := cluster.up(ctx); err != nil {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("bring up cluster %s (logs in %s): %w", config.Name, filepath.Join(cluster.folder, "logs"), err),
			host.EndAll(cleanup, cluster.folder))
	}
	return cluster, nil
}

// Open finds a cluster that is up, by name. Root may be empty for the repository that has the working folder.
func Open(name, root string) (*Cluster, error) {
	config, err := Config{Name: name, Root: root}.withDefaults()
	if err != nil {
		return nil, err
	}
	return open(config)
}

// Down takes a cluster down and removes everything that it left, whatever state it is in. One that is not there is
// fine.
func Down(ctx context.Context, name, root string) error {
	config, err := Config{Name: name, Root: root}.withDefaults()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(config.Root, ".cluster")); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	unlock, err := lockName(config)
	if err != nil {
		return err
	}
	defer unlock()
	return down(ctx, config)
}

// Down takes the cluster down and removes everything that it left. The Cluster is of no use afterwards.
func (c *Cluster) Down(ctx context.Context) error { return Down(ctx, c.config.Name, c.config.Root) }

// Names lists the clusters of the repository at root, up or not.
func Names(root string) ([]string, error) {
	config, err := Config{Root: root}.withDefaults()
	if err != nil {
		return nil, err
	}
	states, err := filepath.Glob(filepath.Join(config.Root, ".cluster", "*", stateFile))
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	names := make([]string, 0, len(states))
	for _, path := range states {
		names = append(names, filepath.Base(filepath.Dir(path)))
	}
	return names, nil
}

// Config is what the cluster was brought up with.
func (c *Cluster) Config() Config { return c.config }

// Plan is who has which address.
func (c *Cluster) Plan() Plan { return c.plan }

// Folder has the cluster's state, logs and kubeconfigs.
func (c *Cluster) Folder() string { return c.folder }

// Nodes is how many nodes there are.
func (c *Cluster) Nodes() int { return len(c.nodes) }

// Node returns the node with an index: Node(0) is the host node1. It panics if there is none.
func (c *Cluster) Node(index int) *Node { return c.nodes[index] }

// Laptops is how many laptops there are.
func (c *Cluster) Laptops() int { return len(c.laptops) }

// Laptop returns the laptop with an index: Laptop(0) is the host laptop1. It panics if there is none.
func (c *Cluster) Laptop(index int) *Laptop { return c.laptops[index] }

// Internet is the host that is the laptops' router, DNS server and public web.
func (c *Cluster) Internet() *host.Host { return c.internet }

// sameShape tells if a cluster with the one configuration does for the other.
func (c Config) sameShape(other Config) bool {
	return c.Nodes == other.Nodes && c.Laptops == other.Laptops && c.Family == other.Family && c.Resolver == other.Resolver &&
		(other.WithoutShop || !c.WithoutShop)
}

func folderOf(config Config) string { return filepath.Join(config.Root, ".cluster", config.Name) }

// lockName keeps two processes from changing the same cluster at once.
func lockName(config Config) (func(), error) {
	folder := filepath.Join(config.Root, ".cluster")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("create cluster folder: %w", err)
	}
	return lockFile(filepath.Join(folder, "."+config.Name+".lock"))
}

func open(config Config) (*Cluster, error) {
	cluster := &Cluster{folder: folderOf(config)}
	data, err := os.ReadFile(filepath.Join(cluster.folder, stateFile))
	if err != nil {
		return nil, fmt.Errorf("cluster %q is not up; bring it up with: make cluster-up NAME=%s", config.Name, config.Name)
	}
	var stored state
	if err := json.Unmarshal(data, &stored); err != nil {
		return nil, fmt.Errorf("read state of cluster %s: %w", config.Name, err)
	}
	cluster.config, cluster.plan, cluster.binaries = stored.Config, stored.Plan, stored.Binaries
	cluster.config.Progress = config.Progress
	if cluster.authority, err = loadAuthority(filepath.Join(cluster.folder, "pki"), "ca"); err != nil {
		return nil, err
	}
	find := func(member Member) (*host.Host, error) {
		found, err := host.Find(cluster.specFile(member))
		if err != nil {
			return nil, fmt.Errorf("cluster %q is not whole, %s: %w; take it down with: make cluster-down NAME=%s", config.Name, member.Name, err, config.Name)
		}
		return found, nil
	}
	if err := cluster.eachHost(find); err != nil {
		return nil, err
	}
	return cluster, cluster.connect()
}

// eachHost fills in the hosts with what get returns, all at once.
func (c *Cluster) eachHost(get func(Member) (*host.Host, error)) error {
	c.nodes, c.laptops = make([]*Node, len(c.plan.Nodes)), make([]*Laptop, len(c.plan.Laptops))
	var group errgroup.Group
	group.Go(func() (err error) {
		c.internet, err = get(c.plan.Router)
		return err
	})
	for i, member := range c.plan.Nodes {
		group.Go(func() error {
			found, err := get(member)
			c.nodes[i] = &Node{Host: found, Member: member, cluster: c}
			return err
		})
	}
	for i, member := range c.plan.Laptops {
		group.Go(func() error {
			found, err := get(member)
			c.laptops[i] = &Laptop{Host: found, Member: member, Number: i + 1, cluster: c}
			return err
		})
	}
	return group.Wait()
}

func (c *Cluster) specFile(member Member) string {
	return filepath.Join(c.folder, "hosts", member.Name, "spec.json")
}

// cgroupRoot is unique to the checkout and the cluster.
func (c *Cluster) cgroupRoot() string { return cgroupRoot(c.folder) }

func cgroupRoot(folder string) string {
	return fmt.Sprintf("/fairlead-%s-%x", filepath.Base(folder), sha256.Sum256([]byte(folder)))[:len("/fairlead--")+len(filepath.Base(folder))+8]
}

// down ends every host, which ends all their processes and mounts, and then removes what is on disk.
func down(ctx context.Context, config Config) error {
	folder := folderOf(config)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := host.EndAll(ctx, folder); err != nil {
		return err
	}
	// The kernel takes a moment to let go of the last processes and mounts of a namespace.
	if err := poll(ctx, "control groups to empty", 10*time.Second, func() error { return host.RemoveCgroups(cgroupRoot(folder)) }); err != nil {
		return err
	}
	return poll(ctx, "files of the cluster to be free", 10*time.Second, func() error { return os.RemoveAll(folder) })
}

// poll calls check until it succeeds, and says what it waited for if it doesn't within limit.
func poll(ctx context.Context, what string, limit time.Duration, check func() error) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	interval := time.NewTicker(50 * time.Millisecond)
	defer interval.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w, last: %w", what, ctx.Err(), err)
		case <-deadline.C:
			return fmt.Errorf("wait for %s: not within %s, last: %w", what, limit, err)
		case <-interval.C:
		}
	}
}

// makeFolder creates a folder below the cluster's.
func (c *Cluster) makeFolder(elements ...string) (string, error) {
	path := filepath.Join(append([]string{c.folder}, elements...)...)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", fmt.Errorf("create cluster folder: %w", err)
	}
	return path, nil
}

// below tells if path is folder or in it.
func below(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimRight(folder, "/")+"/")
}
