// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// The service has one method of each kind. Each answers with the name of who serves it.
type grpcService struct{ name string }

func (s *grpcService) unary(ctx context.Context, in *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	_ = grpc.SetHeader(ctx, metadata.Pairs("x-from", s.name, "x-bin-bin", "\x00\xff"))
	_ = grpc.SetTrailer(ctx, metadata.Pairs("x-end", s.name, "x-end", "again"))
	switch in.Value {
	case "fail":
		return nil, status.Error(codes.FailedPrecondition, "as asked: ü")
	case "hang":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return wrapperspb.String(s.name + " " + in.Value + " " + strings.Join(md.Get("x-many"), ",")), nil
}

func (s *grpcService) serve(name string, stream grpc.ServerStream) error {
	var in wrapperspb.StringValue
	switch name {
	case "ServerStream":
		if err := stream.RecvMsg(&in); err != nil {
			return err
		}
		for range 50 {
			if err := stream.SendMsg(wrapperspb.String(s.name + " " + in.Value)); err != nil {
				return err
			}
		}
	case "ClientStream":
		total := 0
		for {
			err := stream.RecvMsg(&in)
			if errors.Is(err, io.EOF) {
				return stream.SendMsg(wrapperspb.String(s.name + " " + strings.Repeat("x", total)))
			}
			if err != nil {
				return err
			}
			total += len(in.Value)
		}
	case "Both":
		stream.SetTrailer(metadata.Pairs("x-end", s.name))
		for {
			err := stream.RecvMsg(&in)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if in.Value == "stop" {
				return status.Error(codes.ResourceExhausted, "enough")
			}
			if err := stream.SendMsg(wrapperspb.String(s.name + " " + in.Value)); err != nil {
				return err
			}
		}
	}
	return nil
}

func serveGRPC(name string, options ...grpc.ServerOption) func(net.Listener) {
	service := &grpcService{name}
	desc := grpc.ServiceDesc{ServiceName: "test.Echo", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "Unary",
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var in wrapperspb.StringValue
			if err := decode(&in); err != nil {
				return nil, err
			}
			return service.unary(ctx, &in)
		}}}}
	for _, name := range []string{"ServerStream", "ClientStream", "Both"} {
		desc.Streams = append(desc.Streams, grpc.StreamDesc{StreamName: name, ServerStreams: name != "ClientStream", ClientStreams: name != "ServerStream",
			Handler: func(_ any, stream grpc.ServerStream) error { return service.serve(name, stream) }})
	}
	return func(l net.Listener) {
		server := grpc.NewServer(append(options, grpc.MaxRecvMsgSize(64<<20), grpc.MaxSendMsgSize(64<<20))...)
		server.RegisterService(&desc, service)
		_ = server.Serve(l)
	}
}

func grpcClient(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	client, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestGRPC(t *testing.T) {
	for _, c := range []struct {
		name, key, want string
		direct          bool
		rule            wire.Rule
	}{
		{name: "direct", want: "app", direct: true, rule: keyed("ann")},
		{name: "not matched", want: "app", rule: keyed("ann")},
		{name: "matched", key: "ann", want: "laptop", rule: keyed("ann")},
		{name: "all", want: "laptop", rule: everything()},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, serveGRPC("app"), serveGRPC("laptop"))
			s.rules(c.rule)
			address := s.address
			if c.direct {
				address = s.app
			}
			client := grpcClient(t, address)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			ctx = metadata.AppendToOutgoingContext(ctx, "x-many", "1", "x-many", "2")
			if c.key != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "x-fairlead", c.key)
			}
			checkGRPC(ctx, t, client, c.want)
		})
	}
}

func checkGRPC(ctx context.Context, t *testing.T, client *grpc.ClientConn, want string) {
	t.Helper()
	var out wrapperspb.StringValue
	var header, trailer metadata.MD
	if err := client.Invoke(ctx, "/test.Echo/Unary", wrapperspb.String("hi"), &out, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
		t.Fatal(err)
	}
	if out.Value != want+" hi 1,2" || !slices.Equal(header.Get("x-from"), []string{want}) || !slices.Equal(trailer.Get("x-end"), []string{want, "again"}) ||
		!slices.Equal(header.Get("x-bin-bin"), []string{"\x00\xff"}) {
		t.Errorf("unary: %q, header %v, trailer %v", out.Value, header, trailer)
	}
	err := client.Invoke(ctx, "/test.Echo/Unary", wrapperspb.String("fail"), &out, grpc.Trailer(&trailer))
	if status.Code(err) != codes.FailedPrecondition || status.Convert(err).Message() != "as asked: ü" || !slices.Equal(trailer.Get("x-end"), []string{want, "again"}) {
		t.Errorf("trailers only: %v, %v", err, trailer)
	}
	if err := client.Invoke(ctx, "/test.Echo/None", wrapperspb.String("hi"), &out); status.Code(err) != codes.Unimplemented {
		t.Errorf("no such method: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	if err := client.Invoke(short, "/test.Echo/Unary", wrapperspb.String("hang"), &out); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("deadline: %v", err)
	}
	cancel()
	big := strings.Repeat("0123456789", 1<<20)
	if err := client.Invoke(ctx, "/test.Echo/Unary", wrapperspb.String(big), &out); err != nil || out.Value != want+" "+big+" 1,2" {
		t.Errorf("big: %v, %d bytes", err, len(out.Value))
	}

	stream, err := client.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/test.Echo/ServerStream")
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.SendMsg(wrapperspb.String("s"))
	_ = stream.CloseSend()
	n := 0
	for ; err == nil; n++ {
		if err = stream.RecvMsg(&out); err == nil && out.Value != want+" s" {
			t.Errorf("server stream: %q", out.Value)
		}
	}
	if n != 51 || err != io.EOF {
		t.Errorf("server stream: %d messages, %v", n-1, err)
	}

	stream, err = client.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/test.Echo/ClientStream")
	if err != nil {
		t.Fatal(err)
	}
	for range 30 {
		if err := stream.SendMsg(wrapperspb.String(strings.Repeat("x", 10_000))); err != nil {
			t.Fatal(err)
		}
	}
	_ = stream.CloseSend()
	if err := stream.RecvMsg(&out); err != nil || out.Value != want+" "+strings.Repeat("x", 300_000) {
		t.Errorf("client stream: %v, %d bytes", err, len(out.Value))
	}

	stream, err = client.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/test.Echo/Both")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // each message is answered before the next is sent
		if err := stream.SendMsg(wrapperspb.String("b")); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(&out); err != nil || out.Value != want+" b" {
			t.Fatalf("both ways: %v %q", err, out.Value)
		}
	}
	_ = stream.SendMsg(wrapperspb.String("stop"))
	if err := stream.RecvMsg(&out); status.Code(err) != codes.ResourceExhausted || !slices.Equal(stream.Trailer().Get("x-end"), []string{want}) {
		t.Errorf("both ways, end: %v, %v", err, stream.Trailer())
	}
	aborted, abort := context.WithCancel(ctx)
	stream, err = client.NewStream(aborted, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/test.Echo/Both")
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.SendMsg(wrapperspb.String("b"))
	_ = stream.RecvMsg(&out)
	abort()
	if err := stream.RecvMsg(&out); status.Code(err) != codes.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

func h2Client() *http.Client {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: &protocols}}
}

func TestHTTP2Requests(t *testing.T) {
	s := newStage(t, serveHTTP(named("app")), serveHTTP(named("laptop")))
	s.rules(keyed("ann"))
	client := h2Client()
	for i := range 9 {
		key, want := "", "app"
		if i%3 == 1 {
			key, want = "ann", "laptop"
		}
		if got := get(t, client, s.address, key); got != want+" GET /a?b=c " {
			t.Fatalf("request %d: got %q, want %s", i, got, want)
		}
	}
	if r := s.report(); r.Matched != 3 || r.Passed != 6 {
		t.Errorf("counted %+v", r)
	}
	s.flows.set(wire.LaptopAway)
	client = h2Client() // another connection, for which a flow is opened
	if got := get(t, client, s.address, "ann"); got != "app GET /a?b=c " {
		t.Errorf("laptop away: %q", got)
	}
	if r := s.report(); r.FallenBack != 1 {
		t.Errorf("counted %+v", r)
	}
}
