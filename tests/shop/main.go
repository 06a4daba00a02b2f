// SPDX-License-Identifier: Apache-2.0

// Command shop is a small shop made of services in the protocols that real ones speak, for tests, benchmarks and the
// demo: front and catalog (HTTP), pricing (gRPC and h2c), stream (WebSocket and server-sent events), ledger (raw TCP),
// echo (UDP) and inventory (HTTP in a headless StatefulSet).
//
// Every service can tell which pod answered and who called. It must not depend on Kubernetes or on Fairlead: to it,
// callers are callers.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// service runs until ctx is done.
type service func(ctx context.Context, self identity) error

var services = map[string]service{
	"front":     runFront,
	"catalog":   runCatalog,
	"inventory": runInventory,
	"pricing":   runPricing,
	"stream":    runStream,
	"ledger":    runLedger,
	"echo":      runEcho,
}

// identity is how a service names itself in answers.
type identity struct {
	Service string `json:"service"`
	Pod     string `json:"pod"`
}

func main() {
	if len(os.Args) != 2 || services[os.Args[1]] == nil {
		names := make([]string, 0, len(services))
		for name := range services {
			names = append(names, name)
		}
		slices.Sort(names)
		fmt.Fprintf(os.Stderr, "usage: shop SERVICE\nservices: %s\n", strings.Join(names, ", "))
		os.Exit(2)
	}
	name := os.Args[1]
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := services[name](ctx, newIdentity(name)); err != nil {
		fmt.Fprintf(os.Stderr, "shop %s: %v\n", name, err)
		os.Exit(1)
	}
}

// newIdentity takes the pod's name from POD_NAME, or else the host's name, which is the same in a pod.
func newIdentity(name string) identity {
	pod := os.Getenv("POD_NAME")
	if pod == "" {
		pod, _ = os.Hostname() // an empty name is still an answer
	}
	return identity{Service: name, Pod: pod}
}

// setting reads an environment variable with a default.
func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
