// SPDX-License-Identifier: Apache-2.0

// Command bench measures Fairlead on a real cluster of this machine and prints tables of ratios: to a plain route, which
// is the limit, and to kubectl port-forward, which is what everyone has. What is compared is measured in turn within one
// run, because machines are noisy; medians are shown.
//
// It owns measuring and printing. It judges nothing: targets stand beside the figures for people to read.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/fairlead-dev/fairlead/tests/cluster"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// bench is one run.
type bench struct {
	env    *harness.Environment
	laptop *harness.Laptop
	rounds int
	size   int64 // bytes of one transfer
}

// sections are the parts of a run, in order.
var sections = []struct {
	name string
	run  func(*bench, context.Context) error
}{
	{"latency", (*bench).latency},
	{"throughput", (*bench).throughput},
	{"requests", (*bench).requests},
	{"impaired", (*bench).impaired},
	{"memory", (*bench).memory},
	{"connections", (*bench).connections},
	{"intercept", (*bench).intercepts},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	only := flag.String("only", strings.Join(names, ","), "the `sections` to measure")
	rounds := flag.Int("rounds", 3, "how often each thing is measured")
	size := flag.Int64("size", 512, "MiB of one transfer")
	flag.Parse()
	chosen := strings.Split(*only, ",")
	for _, name := range chosen {
		if !slices.Contains(names, name) {
			return fmt.Errorf("no section %q: there are %s", name, strings.Join(names, ", "))
		}
	}

	env, err := harness.Start(ctx, cluster.Config{Name: "bench"})
	if env != nil && os.Getenv(harness.KeepVariable) == "" {
		defer env.Stop()
	}
	if err != nil {
		return err
	}
	b := &bench{env: env, laptop: env.Laptop(0), rounds: *rounds, size: *size << 20}
	for _, s := range sections {
		if !slices.Contains(chosen, s.name) {
			continue
		}
		fmt.Printf("\n## %s\n\n", s.name)
		if err := s.run(b, ctx); err != nil {
			return fmt.Errorf("measure %s: %w", s.name, err)
		}
	}
	return nil
}

// median returns the middle of some values; 0 for none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
