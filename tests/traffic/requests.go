// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// RequestsResult is what many small requests over kept-alive connections came to. Times are in milliseconds.
type RequestsResult struct {
	Requests  int     `json:"requests"`
	Failed    int     `json:"failed"`
	PerSecond float64 `json:"perSecond"`
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
	Error     string  `json:"error,omitempty"` // of the first that failed
}

func requestsCommand() *cobra.Command {
	var connections int
	var duration time.Duration
	var every time.Duration
	var header string
	cmd := &cobra.Command{
		Use:   "requests URL",
		Short: "Send small requests over kept-alive connections for a while",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return report(requests(cmd.Context(), args[0], header, connections, duration, every))
		},
	}
	cmd.Flags().IntVar(&connections, "connections", 1, "connections at once")
	cmd.Flags().DurationVar(&duration, "for", 3*time.Second, "how long")
	cmd.Flags().StringVar(&header, "header", "", "NAME=VALUE that every request carries")
	cmd.Flags().DurationVar(&every, "every", 0, "time between two requests of a connection; 0 is none")
	return cmd
}

// requests lets every connection ask as fast as it is answered, or at its pace, and adds up what came.
func requests(ctx context.Context, url, header string, connections int, duration, every time.Duration) RequestsResult {
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	var mu sync.Mutex
	var all []time.Duration
	var result RequestsResult
	var done sync.WaitGroup
	started := time.Now()
	for range connections {
		done.Go(func() {
			times, failed, err := askUntilDone(ctx, url, header, every)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, times...)
			result.Failed += failed
			if err != nil && result.Error == "" {
				result.Error = err.Error()
			}
		})
	}
	done.Wait()
	result.Requests = len(all) + result.Failed
	result.PerSecond = float64(len(all)) / time.Since(started).Seconds()
	if len(all) > 0 {
		slices.Sort(all)
		result.P50 = milliseconds(all[len(all)/2])
		result.P99 = milliseconds(all[len(all)*99/100])
	}
	return result
}

// askUntilDone is one connection: request after request until ctx is done.
func askUntilDone(ctx context.Context, url, header string, every time.Duration) (times []time.Duration, failed int, first error) {
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		started := time.Now()
		err := ask(ctx, client, url, header)
		switch {
		case err == nil:
			times = append(times, time.Since(started))
		case ctx.Err() == nil:
			failed++
			if first == nil {
				first = err
			}
		}
		if pause := every - time.Since(started); pause > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
	return times, failed, first
}

// ask sends one request and reads the whole answer.
func ask(ctx context.Context, client *http.Client, url, header string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	if name, value, found := strings.Cut(header, "="); found {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return fmt.Errorf("read the response: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the service answered %s", response.Status)
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
