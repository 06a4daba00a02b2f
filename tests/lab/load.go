// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Load is what constant load came to.
type Load struct {
	Requests int            `json:"requests"`
	Failed   int            `json:"failed"`
	Servers  map[string]int `json:"servers"`  // how many requests each answered
	Failures []string       `json:"failures"` // the first of them
	Slowest  float64        `json:"slowest"`  // seconds
	Slow     []string       `json:"slow"`     // the first that were slow: when they began, how long they took
}

const (
	// mostFailures is how many failures are told in words.
	mostFailures = 200
	// slowAfter is when a request is told as slow. New connections whose first packet is lost take a second.
	slowAfter = 1500 * time.Millisecond
	// lateAfter is when a request counts as failed for want of an answer.
	lateAfter = 10 * time.Second
)

func loadCommand() *cobra.Command {
	var headers []string
	var rate int
	var limit time.Duration
	var field string
	var post, http2 bool
	cmd := &cobra.Command{
		Use: "load URL", Short: "Send requests, or to udp://ADDRESS datagrams, at a constant rate until interrupted, and print what became of them", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			header, err := parseHeaders(headers)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			l := &loader{url: args[0], header: header, field: field, post: post, result: Load{Servers: map[string]int{}, Failures: []string{}, Slow: []string{}}}
			l.ask = l.askHTTP
			if address, ok := strings.CutPrefix(args[0], "udp://"); ok {
				l.ask = (&datagramAsker{address: address}).ask
			}
			transport := &http.Transport{MaxIdleConns: 64, MaxIdleConnsPerHost: 64, DisableCompression: true}
			if http2 {
				transport.Protocols = new(http.Protocols)
				transport.Protocols.SetUnencryptedHTTP2(true)
			}
			l.client.Transport = transport
			l.run(ctx, rate)
			return json.NewEncoder(os.Stdout).Encode(l.result)
		},
	}
	cmd.Flags().StringArrayVar(&headers, "header", nil, "NAME=VALUE that every request carries")
	cmd.Flags().IntVar(&rate, "rate", 200, "requests per second")
	cmd.Flags().DurationVar(&limit, "for", time.Hour, "how long")
	cmd.Flags().StringVar(&field, "field", "", "JSON field of the answer that names the server, with dots; by default the header "+serverHeader)
	cmd.Flags().BoolVar(&http2, "http2", false, "with prior knowledge, all over one connection")
	cmd.Flags().BoolVar(&post, "post", false, "POST a small body instead of GET")
	return cmd
}

type loader struct {
	url, field string
	header     http.Header
	post       bool
	client     http.Client
	ask        func(ctx context.Context) (server string, err error)

	mu     sync.Mutex
	result Load
}

func (l *loader) run(ctx context.Context, rate int) {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	var running sync.WaitGroup
	for {
		select {
		case <-ctx.Done():
			running.Wait()
			return
		case <-tick.C:
			running.Go(l.once)
		}
	}
}

// once makes one request, which is finished also when the load ends.
func (l *loader) once() {
	ctx, cancel := context.WithTimeout(context.Background(), lateAfter)
	defer cancel()
	started := time.Now()
	server, err := l.ask(ctx)
	took := time.Since(started)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.result.Requests++
	l.result.Slowest = max(l.result.Slowest, took.Seconds())
	if took > slowAfter && len(l.result.Slow) < mostFailures {
		l.result.Slow = append(l.result.Slow, fmt.Sprintf("%s %v", started.Format("15:04:05.000"), took.Round(time.Millisecond)))
	}
	if err == nil {
		l.result.Servers[server]++
		return
	}
	l.result.Failed++
	if len(l.result.Failures) < mostFailures {
		l.result.Failures = append(l.result.Failures, fmt.Sprintf("%s after %v: %v", started.Format("15:04:05.000"), took.Round(time.Millisecond), err))
	}
}

func (l *loader) askHTTP(ctx context.Context) (server string, err error) {
	method, body := http.MethodGet, io.Reader(nil)
	if l.post {
		method, body = http.MethodPost, strings.NewReader("a small body")
	}
	request, err := http.NewRequestWithContext(ctx, method, l.url, body)
	if err != nil {
		return "", err
	}
	request.Header = l.header.Clone()
	response, err := l.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %.500s", response.Status, text)
	}
	if l.field == "" {
		return response.Header.Get(serverHeader), nil
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	for name := range strings.SplitSeq(l.field, ".") {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	server, _ = value.(string)
	return server, nil
}
