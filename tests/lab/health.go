// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// illness makes a server unhealthy for a while, in every way that a kubelet can ask: HTTP, gRPC, a closed TCP port, and a
// program that asks. newIllness makes one that is healthy.
type illness struct {
	rpc *health.Server

	mu    sync.Mutex
	ill   bool
	ended chan struct{} // closed when the illness ends; nil while healthy
	begun func()
}

func newIllness() *illness { return &illness{rpc: health.NewServer()} }

// arrange makes it ill after a pause, for some time: /break?in=2s&for=5s. It answers at once.
func (i *illness) arrange(w http.ResponseWriter, r *http.Request) {
	pause, _ := time.ParseDuration(r.URL.Query().Get("in"))
	length, err := time.ParseDuration(r.URL.Query().Get("for"))
	if err != nil {
		http.Error(w, "say how long with ?for=5s", http.StatusBadRequest)
		return
	}
	time.AfterFunc(pause, func() {
		i.set(true)
		time.AfterFunc(length, func() { i.set(false) })
	})
	fmt.Fprintln(w, "as you wish")
}

func (i *illness) set(ill bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ill == ill {
		return
	}
	i.ill = ill
	if !ill {
		close(i.ended)
		i.rpc.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
		return
	}
	i.ended = make(chan struct{})
	i.rpc.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	if i.begun != nil {
		i.begun()
	}
}

// serveHTTP answers /healthz.
func (i *illness) serveHTTP(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	ill := i.ill
	i.mu.Unlock()
	if ill {
		http.Error(w, "ill", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// serveWhileHealthy serves TCP connections until ctx is done; while ill, the port is closed.
func (i *illness) serveWhileHealthy(ctx context.Context, address string, serve func(*net.TCPConn)) error {
	for ctx.Err() == nil {
		healthy, cancel := context.WithCancel(ctx)
		i.mu.Lock()
		i.begun = cancel
		i.mu.Unlock()
		err := serveStreams(healthy, address, serve)
		cancel()
		if err != nil || ctx.Err() != nil {
			return err
		}
		i.mu.Lock()
		ended := i.ended
		i.mu.Unlock()
		select {
		case <-ended:
		case <-ctx.Done():
		}
	}
	return nil
}

// healthyCommand is what an exec probe runs.
func healthyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "healthy URL", Short: "Ask for a page; the exit status says whether it is there", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client := http.Client{Timeout: time.Second}
			response, err := client.Get(args[0])
			if err != nil {
				return err
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("it says %s", response.Status)
			}
			return nil
		},
	}
}
