// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// rpcTrailer is a trailer that every call of lab.Echo ends with.
const rpcTrailer = "x-lab-trailer"

// newRPCServer serves lab.Echo: Unary, Down (the server streams), Up (the client streams) and Both. Messages are
// google.protobuf.StringValue, so that no generated code is needed. Each answer begins with the server's name.
func newRPCServer(name string, illness *illness) *grpc.Server {
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "lab.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			message := new(wrapperspb.StringValue)
			if err := decode(message); err != nil {
				return nil, err
			}
			if err := grpc.SetTrailer(ctx, metadata.Pairs(rpcTrailer, "unary")); err != nil {
				return nil, err
			}
			if message.GetValue() == "fail" {
				return nil, status.Error(codes.FailedPrecondition, name+": as asked")
			}
			return wrapperspb.String(name + ": " + message.GetValue()), nil
		}}},
		Streams: []grpc.StreamDesc{
			{StreamName: "Down", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error { return streamDown(s, name) }},
			{StreamName: "Up", ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error { return streamUp(s, name) }},
			{StreamName: "Both", ServerStreams: true, ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error { return streamBoth(s, name) }},
		},
	}, new(any))
	grpc_health_v1.RegisterHealthServer(server, illness.rpc)
	return server
}

func streamDown(s grpc.ServerStream, name string) error {
	message := new(wrapperspb.StringValue)
	if err := s.RecvMsg(message); err != nil {
		return err
	}
	s.SetTrailer(metadata.Pairs(rpcTrailer, "down"))
	for i := range 5 {
		if err := s.SendMsg(wrapperspb.String(fmt.Sprintf("%s: %s %d", name, message.GetValue(), i))); err != nil {
			return err
		}
	}
	return nil
}

func streamUp(s grpc.ServerStream, name string) error {
	s.SetTrailer(metadata.Pairs(rpcTrailer, "up"))
	var all []string
	for {
		message := new(wrapperspb.StringValue)
		err := s.RecvMsg(message)
		if errors.Is(err, io.EOF) {
			return s.SendMsg(wrapperspb.String(name + ": " + strings.Join(all, " ")))
		}
		if err != nil {
			return err
		}
		all = append(all, message.GetValue())
	}
}

func streamBoth(s grpc.ServerStream, name string) error {
	s.SetTrailer(metadata.Pairs(rpcTrailer, "both"))
	for {
		message := new(wrapperspb.StringValue)
		if err := s.RecvMsg(message); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.SendMsg(wrapperspb.String(name + ": " + message.GetValue())); err != nil {
			return err
		}
	}
}
