// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// TransferResult is how fast a lot of bytes went.
type TransferResult struct {
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"rate"` // bytes per second
}

func transferCommand() *cobra.Command {
	var upload bool
	var header string
	var size int64
	var streams int
	cmd := &cobra.Command{
		Use:   "transfer URL",
		Short: "Download URL?n=SIZE, or upload SIZE bytes to URL, over one or more connections at once",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			started := time.Now()
			group, ctx := errgroup.WithContext(cmd.Context())
			for range streams {
				// Each stream has a transport, and so a connection, of its own.
				client := &http.Client{Transport: &http.Transport{DisableCompression: true, WriteBufferSize: 256 << 10, ReadBufferSize: 256 << 10}}
				group.Go(func() error {
					defer client.CloseIdleConnections()
					return transfer(ctx, client, args[0], header, size/int64(streams), upload)
				})
			}
			if err := group.Wait(); err != nil {
				return err
			}
			seconds := time.Since(started).Seconds()
			total := size / int64(streams) * int64(streams)
			return report(TransferResult{Bytes: total, Seconds: seconds, Rate: float64(total) / seconds})
		},
	}
	cmd.Flags().StringVar(&header, "header", "", "NAME=VALUE that every request carries")
	cmd.Flags().BoolVar(&upload, "upload", false, "upload instead of downloading")
	cmd.Flags().Int64Var(&size, "size", 512<<20, "bytes in all")
	cmd.Flags().IntVar(&streams, "streams", 1, "connections at once")
	return cmd
}

// transfer moves size bytes over one connection and fails when any are missing.
func transfer(ctx context.Context, client *http.Client, url, header string, size int64, upload bool) error {
	method, body := http.MethodGet, io.Reader(nil)
	if upload {
		method, body = http.MethodPost, io.LimitReader(zeros{}, size)
	} else {
		url = fmt.Sprintf("%s?n=%d", url, size)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	if upload {
		request.ContentLength = size
	}
	if name, value, found := strings.Cut(header, "="); found {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	received, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, response.Body, make([]byte, 256<<10))
	if err != nil {
		return fmt.Errorf("read the response: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the service answered %s", response.Status)
	}
	if !upload && received != size {
		return fmt.Errorf("%d of %d bytes came", received, size)
	}
	return nil
}

// zeros reads as zero bytes without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
