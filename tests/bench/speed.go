// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/fairlead-dev/fairlead/tests/cluster"
)

// transfer is one kind of large transfer.
type transfer struct {
	name string
	args []string
	path string
}

var transfers = []transfer{
	{"download, 1 stream", []string{"--streams", "1"}, "/bytes"},
	{"download, 8 streams", []string{"--streams", "8"}, "/bytes"},
	{"upload, 1 stream", []string{"--upload", "--streams", "1"}, "/sink"},
	{"upload, 8 streams", []string{"--upload", "--streams", "8"}, "/sink"},
}

// throughput compares large transfers. Rounds alternate between the paths.
func (b *bench) throughput(ctx context.Context) error {
	rates, err := b.transferRates(ctx, paths, b.size)
	if err != nil {
		return err
	}
	fmt.Println("| MiB/s, median | plain route | port-forward | udp | relay | udp / port-forward (target 1.0) | relay / port-forward (target 0.6) | udp / plain (ambition 0.25) |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, t := range transfers {
		plain, forward, udp, relay := median(rates["plain route"][t.name]), median(rates["port-forward"][t.name]), median(rates["udp"][t.name]), median(rates["relay"][t.name])
		fmt.Printf("| %s | %.0f | %.0f | %.0f | %.0f | %.2f | %.2f | %.2f |\n", t.name, plain, forward, udp, relay, udp/forward, relay/forward, udp/plain)
	}
	return nil
}

// transferRates measures every transfer on every path, in rounds, and returns MiB per second by path and transfer.
func (b *bench) transferRates(ctx context.Context, on []path, size int64) (map[string]map[string][]float64, error) {
	rates := map[string]map[string][]float64{}
	for range b.rounds {
		for _, p := range on {
			if rates[p.name] == nil {
				rates[p.name] = map[string][]float64{}
			}
			hostPort, end, err := p.open(b, ctx)
			if err != nil {
				return nil, fmt.Errorf("open %s: %w", p.name, err)
			}
			for _, t := range transfers {
				var result struct{ Rate float64 }
				args := append([]string{"transfer", "--size", strconv.FormatInt(size, 10), "http://" + hostPort + t.path}, t.args...)
				if err := b.traffic(ctx, &result, args...); err != nil {
					end()
					return nil, fmt.Errorf("%s by %s: %w", t.name, p.name, err)
				}
				rates[p.name][t.name] = append(rates[p.name][t.name], result.Rate/(1<<20))
			}
			end()
		}
	}
	return rates, nil
}

// requests compares small requests over kept-alive connections.
func (b *bench) requests(ctx context.Context) error {
	p50, perSecond := map[string][]float64{}, map[string][]float64{}
	for range b.rounds {
		for _, p := range paths {
			hostPort, end, err := p.open(b, ctx)
			if err != nil {
				return fmt.Errorf("open %s: %w", p.name, err)
			}
			for _, connections := range []string{"1", "32"} {
				var result struct {
					P50, PerSecond float64
					Failed         int
					Error          string
				}
				if err := b.traffic(ctx, &result, "requests", "--for", "3s", "--connections", connections, "http://"+hostPort+"/hello"); err != nil {
					end()
					return err
				}
				if result.Failed > 0 {
					fmt.Printf("%s: %d requests failed: %s\n\n", p.name, result.Failed, result.Error)
				}
				if connections == "1" {
					p50[p.name] = append(p50[p.name], result.P50)
				} else {
					perSecond[p.name] = append(perSecond[p.name], result.PerSecond)
				}
			}
			end()
		}
	}
	fmt.Println("| path | one connection, p50 ms | over plain route, ms (target udp 0.20, relay 0.60) | 32 connections, per second | to port-forward (target udp 2.0, relay 0.8) |")
	fmt.Println("|---|---|---|---|---|")
	for _, p := range paths {
		fmt.Printf("| %s | %.3f | %.3f | %.0f | %.2f |\n", p.name, median(p50[p.name]), median(p50[p.name])-median(p50["plain route"]),
			median(perSecond[p.name]), median(perSecond[p.name])/median(perSecond["port-forward"]))
	}
	return nil
}

// impaired compares auto with the plain route on a slow link, with every kernel sender on cubic.
func (b *bench) impaired(ctx context.Context) error {
	if err := b.everySenderOnCubic(ctx); err != nil {
		return err
	}
	auto := path{"auto", func(b *bench, ctx context.Context) (string, func(), error) { return b.tunnel(ctx, "auto") }}
	fmt.Println("| 200 Mbit/s, 10 ms each way | loss | plain, Mbit/s | auto, Mbit/s | ratio (target 0.8) |")
	fmt.Println("|---|---|---|---|---|")
	for _, loss := range []float64{0, 0.005} {
		impairment := cluster.Impairment{Delay: 10 * time.Millisecond, Rate: 200_000_000, Loss: loss, Queue: 1 << 20}
		if err := b.env.Cluster.Laptop(0).Impair(ctx, impairment); err != nil {
			return err
		}
		// Some seconds at full rate are enough to be past slow start; loss makes everything slower.
		size := int64(96 << 20)
		if loss > 0 {
			size = 24 << 20
		}
		rates, err := b.transferRates(ctx, []path{paths[0], auto}, size)
		if err != nil {
			return err
		}
		for _, t := range transfers {
			plain, tunnel := median(rates["plain route"][t.name])*8*1.048576, median(rates["auto"][t.name])*8*1.048576
			fmt.Printf("| %s | %.1f %% | %.0f | %.0f | %.2f |\n", t.name, loss*100, plain, tunnel, tunnel/plain)
		}
		if err := b.env.Cluster.Laptop(0).ClearImpairment(ctx); err != nil {
			return err
		}
	}
	return nil
}

// everySenderOnCubic sets the congestion control of the laptop, the nodes and every pod, as far as sockets are made
// from now on.
func (b *bench) everySenderOnCubic(ctx context.Context) error {
	if r := b.laptop.Exec(ctx, "root", "sysctl", "-qw", "net.ipv4.tcp_congestion_control=cubic"); r.Status != 0 {
		return fmt.Errorf("%s", r)
	}
	script := `for p in /proc/[0-9]*; do nsenter --net=$p/ns/net sysctl -qw net.ipv4.tcp_congestion_control=cubic 2>/dev/null || true; done`
	if out, err := b.env.Cluster.Node(0).Command(ctx, "sh", "-c", script).CombinedOutput(); err != nil {
		return fmt.Errorf("set congestion control on the node: %w: %s", err, out)
	}
	return nil
}
