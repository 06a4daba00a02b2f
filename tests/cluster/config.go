// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Family is the address families of a cluster.
type Family string

// Families.
const (
	IPv4 Family = "ipv4" // pods, services and links have IPv4 only
	Dual Family = "dual" // IPv4 first, and IPv6
)

// Resolver is how a laptop resolves names.
type Resolver string

// Resolvers.
const (
	ResolverFile     Resolver = "file"     // a plain /etc/resolv.conf
	ResolverResolved Resolver = "resolved" // systemd-resolved with its stub
)

// Config says what to bring up. The zero value of each field means its default.
type Config struct {
	// Name tells clusters of one repository apart: lower case letters and digits, at most 12. Default "dev".
	Name string `json:"name"`
	// Nodes is the number of nodes, the first of which has the control plane: 1 (default) to 4.
	Nodes int `json:"nodes"`
	// Laptops is the number of laptops: 1 (default) to 8.
	Laptops int `json:"laptops"`
	// Family defaults to IPv4.
	Family Family `json:"family"`
	// Resolver defaults to ResolverFile.
	Resolver Resolver `json:"resolver"`
	// WithoutShop leaves out the sample shop.
	WithoutShop bool `json:"withoutShop"`
	// Root is the repository. Default: the one that has the working folder.
	Root string `json:"root"`
	// Progress gets a line for each step. Default: nothing is written.
	Progress io.Writer `json:"-"`
}

const (
	maximumNodes   = 4
	maximumLaptops = 8
	modulePath     = "github.com/fairlead-dev/fairlead"
)

var validName = regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`)

// withDefaults fills in defaults and checks every field.
func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = "dev"
	}
	if c.Nodes == 0 {
		c.Nodes = 1
	}
	if c.Laptops == 0 {
		c.Laptops = 1
	}
	if c.Family == "" {
		c.Family = IPv4
	}
	if c.Resolver == "" {
		c.Resolver = ResolverFile
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	switch {
	case !validName.MatchString(c.Name):
		return c, fmt.Errorf("cluster name %q: use a letter, then up to 11 letters and digits, all lower case", c.Name)
	case c.Nodes < 1 || c.Nodes > maximumNodes:
		return c, fmt.Errorf("%d nodes: from 1 to %d can be had", c.Nodes, maximumNodes)
	case c.Laptops < 1 || c.Laptops > maximumLaptops:
		return c, fmt.Errorf("%d laptops: from 1 to %d can be had", c.Laptops, maximumLaptops)
	case c.Family != IPv4 && c.Family != Dual:
		return c, fmt.Errorf("address family %q: use %q or %q", c.Family, IPv4, Dual)
	case c.Resolver != ResolverFile && c.Resolver != ResolverResolved:
		return c, fmt.Errorf("resolver %q: use %q or %q", c.Resolver, ResolverFile, ResolverResolved)
	}
	if c.Root == "" {
		root, err := FindRoot()
		if err != nil {
			return c, err
		}
		c.Root = root
	}
	return c, nil
}

// FindRoot returns the folder of the repository that has the working folder.
func FindRoot() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find working folder: %w", err)
	}
	for start := folder; ; folder = filepath.Dir(folder) {
		data, err := os.ReadFile(filepath.Join(folder, "go.mod"))
		if err == nil && strings.HasPrefix(string(data), "module "+modulePath+"\n") {
			return filepath.EvalSymlinks(folder)
		}
		if folder == "/" {
			return "", errors.New("find repository: no go.mod of " + modulePath + " in " + start + " or above; run this inside a checkout")
		}
	}
}
