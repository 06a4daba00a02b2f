// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// firstAnswer connects and asks a service by name until it answers, in one shell, so that only what a user waits for
// is timed.
const firstAnswer = `fairlead connect --namespace shop >/dev/null && until curl -sf -m 1 http://catalog.shop/hello >/dev/null; do :; done`

// latency measures how long connect, disconnect and install take.
func (b *bench) latency(ctx context.Context) error {
	var cold, warm, disconnect, install []float64
	timed := func(into *[]float64, user string, args ...string) error {
		r := b.laptop.Exec(ctx, user, args...)
		if r.Status != 0 {
			return errors.New(r.String() + b.laptop.Logs())
		}
		*into = append(*into, r.Took.Seconds())
		return nil
	}
	for range 2*b.rounds + 1 {
		if r := b.laptop.Exec(ctx, harness.User, "fairlead", "quit"); r.Status != 0 {
			return errors.New(r.String())
		}
		for _, into := range []*[]float64{&cold, &warm} {
			if err := timed(into, harness.User, "sh", "-c", firstAnswer); err != nil {
				return err
			}
			if err := timed(&disconnect, harness.User, "fairlead", "disconnect"); err != nil {
				return err
			}
		}
	}
	for range b.rounds {
		if r := b.laptop.Exec(ctx, "root", "fairlead", "gateway", "uninstall"); r.Status != 0 {
			return errors.New(r.String())
		}
		if err := timed(&install, "root", "fairlead", "gateway", "install"); err != nil {
			return err
		}
	}
	fmt.Println("| what | median, s | target, s |")
	fmt.Println("|---|---|---|")
	fmt.Printf("| connect to first answer by name, daemon not running | %.2f | 0.8 |\n", median(cold))
	fmt.Printf("| the same, daemon running | %.2f | 0.5 |\n", median(warm))
	fmt.Printf("| disconnect | %.2f | 0.3 |\n", median(disconnect))
	fmt.Printf("| gateway install to ready | %.2f | 5 |\n", median(install))
	return nil
}

// memory measures resident memory: idle, at full rate, and with many idle peers.
func (b *bench) memory(ctx context.Context) error {
	fmt.Println("| resident memory | MiB | target, MiB |")
	fmt.Println("|---|---|---|")
	line := func(what string, bytes int64, err error, target string) error {
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		fmt.Printf("| %s | %.0f | %s |\n", what, float64(bytes)/(1<<20), target)
		return nil
	}
	hostPort, end, err := b.tunnel(ctx, "udp")
	if err != nil {
		return err
	}
	defer end()
	time.Sleep(5 * time.Second) // idle is what is left when connecting is over
	helper, err := b.laptop.HelperMemory(ctx)
	if err := line("helper, idle", helper, err, "40"); err != nil {
		return err
	}
	daemon, err := b.laptop.DaemonMemory(ctx)
	if err := line("daemon, connected", daemon, err, "60"); err != nil {
		return err
	}
	idle, err := b.gatewayMemory(ctx)
	if err := line("gateway, one idle peer", idle, err, "50"); err != nil {
		return err
	}
	helperPeak, gatewayPeak, err := b.peaks(ctx, hostPort)
	if err := line("helper, highest at full rate", helperPeak, err, "200"); err != nil {
		return err
	}
	if err := line("gateway, highest at full rate", gatewayPeak, nil, "512"); err != nil {
		return err
	}
	return b.idlePeers(ctx, line)
}

// peaks moves data in both directions and returns the highest resident memory seen of the helper and the gateway.
func (b *bench) peaks(ctx context.Context, hostPort string) (helper, gateway int64, err error) {
	done := make(chan error, 1)
	go func() {
		var failed error
		for _, t := range transfers {
			var result struct{ Rate float64 }
			args := append([]string{"transfer", "--size", strconv.FormatInt(2*b.size, 10), "http://" + hostPort + t.path}, t.args...)
			failed = errors.Join(failed, b.traffic(ctx, &result, args...))
		}
		done <- failed
	}()
	for {
		h, err := b.laptop.HelperMemory(ctx)
		if err != nil {
			return 0, 0, err
		}
		g, err := b.gatewayMemory(ctx)
		if err != nil {
			return 0, 0, err
		}
		helper, gateway = max(helper, h), max(gateway, g)
		select {
		case err := <-done:
			return helper, gateway, err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// idlePeers adds 200 Connections of laptops that never come and measures what each costs the gateway.
func (b *bench) idlePeers(ctx context.Context, line func(string, int64, error, string) error) error {
	const peers = 200
	before, err := b.gatewayMemory(ctx)
	if err != nil {
		return err
	}
	user := strings.TrimSpace(b.laptop.Exec(ctx, "root", "kubectl", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}").Stdout)
	var objects bytes.Buffer
	for i := range peers {
		var key [32]byte
		rand.Read(key[:])
		fmt.Fprintf(&objects, "---\napiVersion: fairlead.dev/v1alpha1\nkind: Connection\nmetadata: {name: idle-%d, namespace: fairlead}\nspec: {user: %q, publicKey: %q, namespace: shop}\n",
			i, user, base64.StdEncoding.EncodeToString(key[:]))
	}
	apply := b.laptop.Command(ctx, "root", "kubectl", "create", "-f", "-")
	apply.Stdin = &objects
	if out, err := apply.CombinedOutput(); err != nil {
		return fmt.Errorf("create idle Connections: %w: %s", err, out)
	}
	defer b.laptop.Exec(context.WithoutCancel(ctx), "root", "sh", "-c", "kubectl -n fairlead get connections -o name | grep idle- | xargs kubectl -n fairlead delete")
	wait := b.laptop.Exec(ctx, "root", "sh", "-c", fmt.Sprintf(`until [ $(kubectl -n fairlead get connections -o jsonpath='{range .items[*]}{.status.phase}{"\n"}{end}' | grep -c Ready) -gt %d ]; do sleep 0.2; done`, peers))
	if wait.Status != 0 {
		return errors.New(wait.String())
	}
	time.Sleep(5 * time.Second) // until the burst of creating them has been collected
	after, err := b.gatewayMemory(ctx)
	return line("gateway, each further idle peer of 200", max(after-before, 0)/peers, err, "1")
}

// gatewayMemory returns the resident memory of the gateway's process in bytes.
func (b *bench) gatewayMemory(ctx context.Context) (int64, error) {
	out, err := b.env.Cluster.Node(0).Command(ctx, "sh", "-c", `for p in /proc/[0-9]*; do if [ "$(tr '\0' ' ' <$p/cmdline 2>/dev/null | cut -c1-23)" = "/fairlead-agent gateway" ]; then awk '/^VmRSS/{print $2}' $p/status; fi; done | sort -n | tail -1`).Output()
	if err != nil {
		return 0, fmt.Errorf("read the gateway's memory: %w", err)
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the gateway's memory: %w", err)
	}
	return kib << 10, nil
}

// connections holds many connections while others come and go.
func (b *bench) connections(ctx context.Context) error {
	_, end, err := b.tunnel(ctx, "udp")
	if err != nil {
		return err
	}
	defer end()
	var result struct {
		Held, Opened, Refused, Lost int64
		Error                       string
	}
	if err := b.traffic(ctx, &result, "connections", "--hold", "5000", "--new", "10000", "--for", "5m", "ledger.shop:7000"); err != nil {
		return err
	}
	fmt.Println("| 5 minutes, 5,000 held, 10,000 new a minute | count | target |")
	fmt.Println("|---|---|---|")
	fmt.Printf("| opened in all | %d | |\n| held at the end | %d | 5000 |\n| refused | %d | 0 |\n| lost | %d | 0 |\n", result.Opened, result.Held, result.Refused, result.Lost)
	if result.Error != "" {
		fmt.Printf("\nThe first that failed: %s\n", result.Error)
	}
	return nil
}
