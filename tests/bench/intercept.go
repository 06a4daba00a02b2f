// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

const (
	// benchHeader is the header of the intercept's owner.
	benchHeader = "x-fairlead=bench"
	// beginIntercept is what a user types, and what they wait for: the first request that the laptop answers.
	beginIntercept = `fairlead intercept catalog --key bench --port 8080:http >/dev/null && until curl -s -m 1 -H 'x-fairlead: bench' http://catalog.shop/hello | grep -q laptop; do :; done`
)

// intercepts measures intercepts: how soon they begin and end, and what they cost who is meant and who is not. Callers run
// on the node and ask one pod by its address, so that "direct" is the same request without a sidecar.
func (b *bench) intercepts(ctx context.Context) error {
	_, disconnect, err := b.tunnel(ctx, "auto")
	if err != nil {
		return err
	}
	defer disconnect()
	stop, err := b.serveLocally(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := b.beginnings(ctx); err != nil {
		return err
	}
	if err := b.interceptedRequests(ctx); err != nil {
		return err
	}
	return b.interceptedTransfers(ctx)
}

// serveLocally runs the shop's catalog on the laptop, on port 8080.
func (b *bench) serveLocally(ctx context.Context) (func(), error) {
	cmd := b.laptop.Command(ctx, harness.User, "env", "POD_NAME=laptop", "shop", "catalog")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("serve on the laptop: %w", err)
	}
	return func() { stopProcess(cmd) }, nil
}

func (b *bench) must(ctx context.Context, user string, args ...string) (harness.Result, error) {
	r := b.laptop.Exec(ctx, user, args...)
	if r.Status != 0 {
		return r, errors.New(r.String() + b.laptop.Logs())
	}
	return r, nil
}

// beginnings times intercept and leave for a Deployment of three pods, with new pods and with pods that were intercepted
// a moment ago.
func (b *bench) beginnings(ctx context.Context) error {
	var fresh, again, leave []float64
	if _, err := b.must(ctx, "root", "kubectl", "-n", "shop", "scale", "deployment/catalog", "--replicas=3"); err != nil {
		return err
	}
	for range b.rounds + 2 {
		if _, err := b.must(ctx, "root", "sh", "-c", "kubectl -n shop rollout restart deployment/catalog && kubectl -n shop rollout status deployment/catalog --timeout=60s && sleep 4"); err != nil {
			return err
		}
		for _, into := range []*[]float64{&fresh, &again} {
			r, err := b.must(ctx, harness.User, "sh", "-c", beginIntercept)
			if err != nil {
				return err
			}
			*into = append(*into, r.Took.Seconds())
			if r, err = b.must(ctx, harness.User, "fairlead", "leave", "catalog"); err != nil {
				return err
			}
			leave = append(leave, r.Took.Seconds())
		}
	}
	// What follows is measured with one pod, when the others are gone.
	if _, err := b.must(ctx, "root", "sh", "-c", "kubectl -n shop scale deployment/catalog --replicas=1 && until [ $(kubectl -n shop get pods -l app=catalog -o name | wc -l) = 1 ]; do sleep 0.2; done"); err != nil {
		return err
	}
	fmt.Println("| three running pods | median, s | target, s |")
	fmt.Println("|---|---|---|")
	fmt.Printf("| intercept to the first intercepted request | %.2f | 1.5 |\n", median(fresh))
	fmt.Printf("| the same, some seconds after the last one | %.2f | |\n", median(again))
	fmt.Printf("| leave | %.2f | 0.5 |\n\n", median(leave))
	return nil
}

// onNode runs the traffic program on the node and reads its result.
func (b *bench) onNode(ctx context.Context, result any, args ...string) error {
	out, err := b.env.Cluster.Node(0).Command(ctx, append([]string{b.laptop.TrafficProgram()}, args...)...).Output()
	if err != nil {
		return fmt.Errorf("traffic %v on the node: %w", args, err)
	}
	return json.Unmarshal(out, result)
}

// ways are how the requests are made: with no intercept, and with one that is not, or is, meant.
var ways = []struct {
	name        string
	intercepted bool
	header      string
}{{"direct", false, ""}, {"not matched", true, ""}, {"matched", true, benchHeader}}

// eachWay measures once in every way, as often as there are rounds.
func (b *bench) eachWay(ctx context.Context, measure func(way, hostPort, header string) error) error {
	for range b.rounds {
		_, address, err := b.pod(ctx)
		if err != nil {
			return err
		}
		for _, way := range ways {
			if way.intercepted {
				if _, err := b.must(ctx, harness.User, "sh", "-c", beginIntercept); err != nil {
					return err
				}
			}
			err := measure(way.name, net.JoinHostPort(address, podPort), way.header)
			if way.intercepted {
				if _, left := b.must(ctx, harness.User, "fairlead", "leave", "catalog"); left != nil {
					return errors.Join(err, left)
				}
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) interceptedRequests(ctx context.Context) error {
	p50, perSecond := map[string][]float64{}, map[string][]float64{}
	var idle, loaded int64
	err := b.eachWay(ctx, func(way, hostPort, header string) error {
		if way != "direct" {
			memory, err := b.sidecarMemory(ctx)
			if err != nil {
				return err
			}
			if idle == 0 {
				idle = memory
			}
		}
		for _, connections := range []string{"1", "32"} {
			var result struct {
				P50, PerSecond float64
				Failed         int
				Error          string
			}
			if err := b.onNode(ctx, &result, "requests", "--for", "3s", "--connections", connections, "--header", header, "http://"+hostPort+"/hello"); err != nil {
				return err
			}
			if result.Failed > 0 {
				fmt.Printf("%s: %d requests failed: %s\n\n", way, result.Failed, result.Error)
			}
			if connections == "1" {
				p50[way] = append(p50[way], result.P50)
			} else {
				perSecond[way] = append(perSecond[way], result.PerSecond)
			}
		}
		if way != "direct" {
			memory, err := b.sidecarMemory(ctx)
			loaded = max(loaded, memory)
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Println("| small requests | one connection, p50 ms | over direct, ms (target not matched 0.10, matched 0.70) | 32 connections, per second | to direct (target not matched 0.7) |")
	fmt.Println("|---|---|---|---|---|")
	for _, way := range ways {
		fmt.Printf("| %s | %.3f | %.3f | %.0f | %.2f |\n", way.name, median(p50[way.name]), median(p50[way.name])-median(p50["direct"]),
			median(perSecond[way.name]), median(perSecond[way.name])/median(perSecond["direct"]))
	}
	fmt.Println("\n| sidecar, resident memory | MiB | target, MiB |")
	fmt.Println("|---|---|---|")
	fmt.Printf("| idle | %.0f | 20 |\n| after load | %.0f | 40 |\n\n", float64(idle)/(1<<20), float64(loaded)/(1<<20))
	return nil
}

// interceptedTransfers compares one large stream: from the app through the sidecar with direct, and from the laptop with
// the tunnel's own figure.
func (b *bench) interceptedTransfers(ctx context.Context) error {
	rates := map[string][]float64{}
	err := b.eachWay(ctx, func(way, hostPort, header string) error {
		for _, t := range transfers {
			if !strings.HasSuffix(t.name, "1 stream") {
				continue
			}
			args := append([]string{"transfer", "--size", strconv.FormatInt(b.size, 10), "--header", header, "http://" + hostPort + t.path}, t.args...)
			var result struct{ Rate float64 }
			if err := b.onNode(ctx, &result, args...); err != nil {
				return err
			}
			rates[way+t.name] = append(rates[way+t.name], result.Rate/(1<<20))
			if way != "matched" {
				continue
			}
			// The tunnel's own figure, in the direction in which the bytes went: what a caller downloads from the laptop
			// is an upload of the laptop.
			own := transfers[2]
			if t.name == transfers[2].name {
				own = transfers[0]
			}
			// Of a pod that has no sidecar.
			args = append([]string{"transfer", "--size", strconv.FormatInt(b.size, 10), "http://front.shop" + own.path}, own.args...)
			if err := b.traffic(ctx, &result, args...); err != nil {
				return err
			}
			rates["tunnel"+t.name] = append(rates["tunnel"+t.name], result.Rate/(1<<20))
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Println("| MiB/s, median | direct | not matched | matched | the tunnel itself | not matched / direct (target 0.7) | matched / tunnel (target 0.8) |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, t := range []string{transfers[0].name, transfers[2].name} {
		direct, not, matched, tunnel := median(rates["direct"+t]), median(rates["not matched"+t]), median(rates["matched"+t]), median(rates["tunnel"+t])
		fmt.Printf("| %s | %.0f | %.0f | %.0f | %.0f | %.2f | %.2f |\n", t, direct, not, matched, tunnel, not/direct, matched/tunnel)
	}
	return nil
}

// sidecarMemory returns the largest resident memory of a sidecar on the node, in bytes.
func (b *bench) sidecarMemory(ctx context.Context) (int64, error) {
	time.Sleep(time.Second) // until it is in the state that is measured
	out, err := b.env.Cluster.Node(0).Command(ctx, "sh", "-c", `for p in /proc/[0-9]*; do if [ "$(tr '\0' ' ' <$p/cmdline 2>/dev/null | cut -c1-17)" = "/fairlead-sidecar" ]; then awk '/^VmRSS/{print $2}' $p/status; fi; done | sort -n | tail -1`).Output()
	if err != nil {
		return 0, fmt.Errorf("read the sidecar's memory: %w", err)
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the sidecar's memory: %w", err)
	}
	return kib << 10, nil
}
