// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// pricingServer is the gRPC service shop.Pricing: Quote answers once, Watch answers each message of a stream. Its
// messages are google.protobuf.StringValue, so that no generated code is needed.
type pricingServer struct{ self identity }

// pricing is what the service descriptor asks of an implementation.
type pricing interface {
	quote(ctx context.Context, item *wrapperspb.StringValue) (*wrapperspb.StringValue, error)
	watch(stream grpc.ServerStream) error
}

var pricingService = grpc.ServiceDesc{
	ServiceName: "shop.Pricing",
	HandlerType: (*pricing)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Quote", Handler: handleQuote}},
	Streams: []grpc.StreamDesc{{
		StreamName: "Watch", ServerStreams: true, ClientStreams: true,
		Handler: func(server any, stream grpc.ServerStream) error { return server.(pricing).watch(stream) },
	}},
}

func handleQuote(server any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	item := new(wrapperspb.StringValue)
	if err := decode(item); err != nil {
		return nil, err
	}
	return server.(pricing).quote(ctx, item)
}

func (p pricingServer) quote(_ context.Context, item *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	return wrapperspb.String(fmt.Sprintf("%s costs %d, says %s", item.GetValue(), price(item.GetValue()), p.self.Pod)), nil
}

func (p pricingServer) watch(stream grpc.ServerStream) error {
	for {
		item := new(wrapperspb.StringValue)
		if err := stream.RecvMsg(item); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		quote, err := p.quote(stream.Context(), item)
		if err != nil {
			return err
		}
		if err := stream.SendMsg(quote); err != nil {
			return err
		}
	}
}

// price makes up a price that is always the same for an item.
func price(item string) int { return 10 + 7*len(item)%90 }

// runPricing serves on port 9090.
func runPricing(ctx context.Context, self identity) error {
	return serveHTTP(ctx, ":9090", pricingHandler(self))
}

// pricingHandler speaks gRPC, and plain HTTP over HTTP/1.1 and h2c, on one port.
func pricingHandler(self identity) http.Handler {
	server := grpc.NewServer()
	server.RegisterService(&pricingService, pricingServer{self})
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	web := newMux(self)
	web.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { respond(w, newAnswer(self, r)) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			server.ServeHTTP(w, r)
			return
		}
		web.ServeHTTP(w, r)
	})
}

// prices asks pricing, over one kept connection, as most programs that speak gRPC do.
type prices struct{ conn *grpc.ClientConn }

func newPrices(address string) (prices, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return prices{}, fmt.Errorf("address of pricing: %w", err)
	}
	return prices{conn}, nil
}

// quote asks on behalf of the request r, whose tracing headers it hands on.
func (p prices) quote(r *http.Request, item string) (string, error) {
	ctx := r.Context()
	for _, name := range propagated {
		for _, value := range r.Header[name] {
			ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(name), value)
		}
	}
	quote := new(wrapperspb.StringValue)
	if err := p.conn.Invoke(ctx, "/shop.Pricing/Quote", wrapperspb.String(item), quote); err != nil {
		return "", fmt.Errorf("ask pricing: %w", err)
	}
	return quote.GetValue(), nil
}
