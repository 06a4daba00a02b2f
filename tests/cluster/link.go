// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/fairlead-dev/fairlead/tests/cluster/host"
	"github.com/fairlead-dev/fairlead/tests/cluster/impair"
)

// Impairment makes a laptop's link to everything else worse, the same in both directions. Zero fields don't.
type Impairment struct {
	// Delay is added each way.
	Delay time.Duration
	// Loss is the share of packets lost each way, 0 to 1.
	Loss float64
	// Rate is the speed each way in bits per second.
	Rate float64
	// Queue is how many bytes wait each way before packets are dropped; zero is one bandwidth-delay product.
	Queue int
	// Seed makes losses repeatable.
	Seed uint64
}

// impairName is the component, the second switch and the stem of the TAP interfaces of a laptop's impaired link.
func (l *Laptop) impairName() string { return fmt.Sprintf("impair%d", l.Number) }

func (i Impairment) options(laptop *Laptop) impair.Options {
	stem := laptop.impairName()
	return impair.Options{
		Near: stem + "-near", Far: stem + "-far", Delay: i.Delay, Loss: i.Loss, Rate: i.Rate, Queue: i.Queue, Seed: i.Seed,
	}
}

// Impair puts a bad link between a laptop and the rest of its world, or changes the one there. Addresses and routes
// stay as they are, open connections survive; packets on the way may get lost.
func (l *Laptop) Impair(ctx context.Context, impairment Impairment) error {
	options := impairment.options(l)
	if err := options.Validate(); err != nil {
		return err
	}
	if err := l.ClearImpairment(ctx); err != nil {
		return err
	}
	component := host.Component{
		Name: l.impairName(),
		Args: append([]string{l.cluster.binaries.Host, "impair"}, options.Args()...),
		Log:  l.cluster.logFile(l.Member, "impair"),
	}
	if err := l.cluster.internet.StartComponent(ctx, component); err != nil {
		return err
	}
	router, err := openNetlink(l.cluster.internet)
	if err != nil {
		return err
	}
	defer router.Close()
	err = poll(ctx, "bad link of "+l.Name, 5*time.Second, func() error {
		_, err := router.LinkByName(options.Near)
		if err == nil {
			_, err = router.LinkByName(options.Far)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%w (log: %s)", err, component.Log)
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.MTU = l.impairName(), linkMTU
	if err := router.LinkAdd(&netlink.Bridge{LinkAttrs: attributes}); err != nil {
		return fmt.Errorf("add switch for bad link: %w", err)
	}
	if err := configureLink(router, l.impairName(), nil); err != nil {
		return err
	}
	for _, join := range [][2]string{{options.Near, l.impairName()}, {options.Far, lanBridge}, {port(l.Member), l.impairName()}} {
		if err := setMaster(router, join[0], join[1]); err != nil {
			return err
		}
	}
	return nil
}

// ClearImpairment gives a laptop its good link back. Without an impairment it does nothing.
func (l *Laptop) ClearImpairment(ctx context.Context) error {
	router, err := openNetlink(l.cluster.internet)
	if err != nil {
		return err
	}
	defer router.Close()
	bridge, err := router.LinkByName(l.impairName())
	if err == nil {
		if err := setMaster(router, port(l.Member), lanBridge); err != nil {
			return err
		}
		if err := router.LinkDel(bridge); err != nil {
			return fmt.Errorf("remove switch of bad link: %w", err)
		}
	}
	return l.cluster.internet.StopComponent(ctx, l.impairName(), time.Second)
}

func setMaster(handle *netlink.Handle, name, bridge string) error {
	link, err := handle.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	master, err := handle.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("find switch %s: %w", bridge, err)
	}
	if err := handle.LinkSetMaster(link, master); err != nil {
		return fmt.Errorf("plug %s into %s: %w", name, bridge, err)
	}
	return nil
}

// Cut takes a laptop off the network until Restore: every packet is dropped, as when Wi-Fi is out of reach or a router
// is dead. The laptop's link stays up. An impairment stays, and is back after Restore.
func (l *Laptop) Cut(context.Context) error {
	return l.onPort(func(router *netlink.Handle, link netlink.Link) error { return router.LinkSetNoMaster(link) })
}

// Unplug is Cut with the carrier gone too, as when a cable is pulled: the laptop sees its link go down.
func (l *Laptop) Unplug(context.Context) error {
	return l.onPort(func(router *netlink.Handle, link netlink.Link) error { return router.LinkSetDown(link) })
}

// Restore undoes Cut and Unplug.
func (l *Laptop) Restore(context.Context) error {
	return l.onPort(func(router *netlink.Handle, link netlink.Link) error {
		bridge := lanBridge
		if _, err := router.LinkByName(l.impairName()); err == nil {
			bridge = l.impairName()
		}
		if err := setMaster(router, link.Attrs().Name, bridge); err != nil {
			return err
		}
		return router.LinkSetUp(link)
	})
}

func (l *Laptop) onPort(change func(*netlink.Handle, netlink.Link) error) error {
	router, err := openNetlink(l.cluster.internet)
	if err != nil {
		return err
	}
	defer router.Close()
	link, err := router.LinkByName(port(l.Member))
	if err != nil {
		return fmt.Errorf("find link of %s: %w", l.Name, err)
	}
	if err := change(router, link); err != nil {
		return fmt.Errorf("change link of %s: %w", l.Name, err)
	}
	return nil
}

// BlockUDP drops UDP between a laptop and every node, both ways, as a strict company network does. DNS and everything
// else on the internet host stays. Doing it twice is fine.
func (l *Laptop) BlockUDP(ctx context.Context) error { return l.setUDPRules(ctx, true) }

// UnblockUDP undoes BlockUDP, and is fine without it.
func (l *Laptop) UnblockUDP(ctx context.Context) error { return l.setUDPRules(ctx, false) }

// setUDPRules makes the rules that drop the laptop's UDP exist on each node, or not: before NodePorts are looked up on
// the way in, and on the way out after answers have got their addresses back.
func (l *Laptop) setUDPRules(ctx context.Context, wanted bool) error {
	for _, node := range l.cluster.nodes {
		for _, address := range l.Addresses() {
			program := "iptables"
			if address.Is6() {
				program = "ip6tables"
			}
			for _, rule := range [][]string{
				{"raw", "PREROUTING", "-i", uplink, "-p", "udp", "-s", address.String(), "-j", "DROP"},
				{"mangle", "POSTROUTING", "-o", uplink, "-p", "udp", "-d", address.String(), "-j", "DROP"},
			} {
				if err := node.setRule(ctx, program, rule[0], rule[1:], wanted); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// setRule makes a rule exist in a table, first in its chain, or not.
func (n *Node) setRule(ctx context.Context, program, table string, rule []string, wanted bool) error {
	run := func(action string) error {
		args := append([]string{program, "-w", "-t", table, action}, rule...)
		if output, err := n.Command(ctx, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s on %s: %w: %s", strings.Join(args, " "), n.Name, err, bytes.TrimSpace(output))
		}
		return nil
	}
	exists := run("-C") == nil
	switch {
	case wanted && !exists:
		return run("-I")
	case !wanted && exists:
		return run("-D")
	}
	return nil
}
