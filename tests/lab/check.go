// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Outcome is what one check came to.
type Outcome struct {
	Check string `json:"check"`
	// Server is who answered.
	Server string `json:"server,omitempty"`
	// Error is what was not as it would be without anything in between.
	Error string `json:"error,omitempty"`
}

// target is what is checked, and the header that the requests carry.
type target struct {
	web, raw, udp, tap string // host:port; empty is left out
	header             http.Header
	limit              time.Duration // of one check
}

// checks in the order in which they run. Each returns who answered.
var checks = []struct {
	name string
	of   func(target) string // the address that it needs
	run  func(context.Context, target) (string, error)
}{
	{"http1/keep-alive", webOf, keepAlive},
	{"http1/pipelining", webOf, pipelining},
	{"http1/chunked-and-trailers", webOf, chunkedUpload},
	{"http1/response-trailers", webOf, func(ctx context.Context, t target) (string, error) { return responseTrailers(ctx, t, oneClient()) }},
	{"http1/expect-continue", webOf, expectContinue},
	{"http1/head-and-no-content", webOf, withoutBodies},
	{"http1/close", webOf, closing},
	{"http1/streaming-both-ways", webOf, func(ctx context.Context, t target) (string, error) { return bothWays(ctx, t, oneClient()) }},
	{"http1/large-bodies", webOf, func(ctx context.Context, t target) (string, error) { return largeBody(ctx, t, oneClient()) }},
	{"http1/abort", webOf, abort},
	{"http1/bytes-as-sent", tapOf, verbatimBytes},
	{"sse", webOf, serverSentEvents},
	{"websocket", webOf, webSocket},
	{"h2c/requests", webOf, h2cRequests},
	{"h2c/response-trailers", webOf, func(ctx context.Context, t target) (string, error) { return responseTrailers(ctx, t, twoClient()) }},
	{"h2c/streaming-both-ways", webOf, func(ctx context.Context, t target) (string, error) { return bothWays(ctx, t, twoClient()) }},
	{"h2c/large-bodies", webOf, func(ctx context.Context, t target) (string, error) { return largeBody(ctx, t, twoClient()) }},
	{"grpc/unary", webOf, rpcUnary},
	{"grpc/server-stream", webOf, rpcDown},
	{"grpc/client-stream", webOf, rpcUp},
	{"grpc/both-streams", webOf, rpcBoth},
	{"tcp/lines", rawOf, lines},
	{"tcp/half-close", rawOf, halfClose},
	{"udp", udpOf, datagrams},
}

func webOf(t target) string { return t.web }
func rawOf(t target) string { return t.raw }
func udpOf(t target) string { return t.udp }
func tapOf(t target) string { return t.tap }

func checkCommand() *cobra.Command {
	var t target
	var headers []string
	var only string
	cmd := &cobra.Command{
		Use: "check", Short: "Check every protocol, and print who answered", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if t.header, err = parseHeaders(headers); err != nil {
				return err
			}
			outcomes := []Outcome{}
			for _, check := range checks {
				if check.of(t) == "" || !strings.HasPrefix(check.name, only) {
					continue
				}
				ctx, cancel := context.WithTimeout(cmd.Context(), t.limit)
				server, err := check.run(ctx, t)
				cancel()
				outcome := Outcome{Check: check.name, Server: server}
				if err != nil {
					outcome.Error = err.Error()
				}
				outcomes = append(outcomes, outcome)
			}
			return json.NewEncoder(os.Stdout).Encode(outcomes)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&t.web, "web", "", "host:port of the HTTP server")
	flags.StringVar(&t.raw, "raw", "", "host:port of the lines over TCP")
	flags.StringVar(&t.udp, "udp", "", "host:port of the datagrams")
	flags.StringVar(&t.tap, "tap", "", "host:port of the server that answers with the bytes of the request")
	flags.StringArrayVar(&headers, "header", nil, "NAME=VALUE that every request carries")
	flags.StringVar(&only, "only", "", "only checks whose name begins so")
	flags.DurationVar(&t.limit, "limit", 15*time.Second, "of each check")
	return cmd
}

func parseHeaders(texts []string) (http.Header, error) {
	header := http.Header{}
	for _, text := range texts {
		name, value, found := strings.Cut(text, "=")
		if !found {
			return nil, fmt.Errorf("header %q is not NAME=VALUE", text)
		}
		header.Add(name, value)
	}
	return header, nil
}

// differs is the error for an answer that is not as it should be.
func differs(what string, got, want any) error {
	return fmt.Errorf("%s: got %v, want %v", what, got, want)
}
