// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// serverSentEvents wants each event when it is sent, not when the answer is complete.
func serverSentEvents(ctx context.Context, t target) (string, error) {
	response, err := oneClient().Do(t.request(ctx, "GET", "/events?n=10", nil))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	server := response.Header.Get(serverHeader)
	scanner := bufio.NewScanner(response.Body)
	var first, last time.Time
	n := 0
	for scanner.Scan() {
		if strings.HasPrefix(scanner.Text(), "data: ") {
			n++
			last = time.Now()
			if first.IsZero() {
				first = last
			}
		}
	}
	if err := scanner.Err(); err != nil || n != 10 {
		return server, differs("events", fmt.Sprint(n, err), 10)
	}
	if last.Sub(first) < 100*time.Millisecond { // they are sent over 180 ms
		return server, differs("time from the first to the last event", last.Sub(first), "some 180 ms: they were held back")
	}
	return server, nil
}

func webSocket(ctx context.Context, t target) (server string, err error) {
	conn, response, err := websocket.Dial(ctx, "ws://"+t.web+"/ws", &websocket.DialOptions{HTTPHeader: t.header})
	if err != nil {
		return "", err
	}
	defer conn.CloseNow()
	server = response.Header.Get(serverHeader)
	conn.SetReadLimit(4 << 20)
	for _, size := range []int{1, 200, 70_000, 1 << 20} {
		message := bytes.Repeat([]byte{'m'}, size)
		if err := conn.Write(ctx, websocket.MessageBinary, message); err != nil {
			return server, err
		}
		_, got, err := conn.Read(ctx)
		if err != nil {
			return server, err
		}
		if want := server + ": " + string(message); string(got) != want {
			return server, differs("message", len(got), len(want))
		}
	}
	return server, conn.Close(websocket.StatusNormalClosure, "done")
}

// lines sends a line and waits for the answer, several times.
func lines(ctx context.Context, t target) (server string, err error) {
	conn, err := dial(ctx, "tcp", t.raw)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for i := range 5 {
		line := fmt.Sprintf("line %d\x00\xff\n", i)
		if _, err := io.WriteString(conn, line); err != nil {
			return server, err
		}
		got, err := reader.ReadString('\n')
		if err != nil {
			return server, err
		}
		name, rest, _ := strings.Cut(got, ": ")
		if rest != line || server != "" && server != name {
			return server, differs("answer", got, line)
		}
		server = name
	}
	return server, nil
}

// halfClose ends its half and wants the digest of all that it sent.
func halfClose(ctx context.Context, t target) (string, error) {
	conn, err := dial(ctx, "tcp", t.raw)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	sent := bytes.Repeat([]byte("no end of line "), 300_000)
	if _, err := conn.Write(sent); err != nil {
		return "", err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		return "", err
	}
	name, rest, _ := strings.Cut(string(got), ": ")
	if want := fmt.Sprintf("sha256 %x\n", sha256.Sum256(sent)); rest != want {
		return name, differs("digest", rest, want)
	}
	return name, nil
}

func datagrams(ctx context.Context, t target) (server string, err error) {
	conn, err := dial(ctx, "udp", t.udp)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	buffer := make([]byte, 65535)
	for _, size := range []int{0, 1, 512, 1200} {
		message := bytes.Repeat([]byte{'d'}, size)
		if _, err := conn.Write(message); err != nil {
			return server, err
		}
		n, err := conn.Read(buffer)
		if err != nil {
			return server, fmt.Errorf("wait for the answer to %d bytes: %w", size, err)
		}
		name, rest, _ := strings.Cut(string(buffer[:n]), ": ")
		if rest != string(message) || server != "" && server != name {
			return server, differs("answer", string(buffer[:n]), size)
		}
		server = name
	}
	return server, nil
}

// call opens a connection and a context that carries the headers as metadata.
func (t target) call(ctx context.Context) (context.Context, *grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+t.web, grpc.WithTransportCredentials(insecure.NewCredentials()))
	for name, values := range t.header {
		for _, value := range values {
			ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(name), value)
		}
	}
	return ctx, conn, err
}

// echoed takes the server's name from an answer, and compares the rest.
func echoed(server *string, message *wrapperspb.StringValue, want string) error {
	name, rest, _ := strings.Cut(message.GetValue(), ": ")
	if rest != want || *server != "" && *server != name {
		return differs("answer", message.GetValue(), want)
	}
	*server = name
	return nil
}

func trailerIs(trailer metadata.MD, want string) error {
	if got := trailer.Get(rpcTrailer); len(got) != 1 || got[0] != want {
		return differs("trailer", got, want)
	}
	return nil
}

func rpcUnary(ctx context.Context, t target) (server string, err error) {
	ctx, conn, err := t.call(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	for i := range 3 {
		answer, trailer, want := new(wrapperspb.StringValue), metadata.MD{}, fmt.Sprintf("message %d", i)
		if err := conn.Invoke(ctx, "/lab.Echo/Unary", wrapperspb.String(want), answer, grpc.Trailer(&trailer)); err != nil {
			return server, err
		}
		if err := errors.Join(echoed(&server, answer, want), trailerIs(trailer, "unary")); err != nil {
			return server, err
		}
	}
	err = conn.Invoke(ctx, "/lab.Echo/Unary", wrapperspb.String("fail"), new(wrapperspb.StringValue))
	if status.Code(err) != codes.FailedPrecondition || status.Convert(err).Message() != server+": as asked" {
		return server, differs("refusal", err, server+": as asked")
	}
	return server, nil
}

func (t target) stream(ctx context.Context, conn *grpc.ClientConn, name string) (grpc.ClientStream, error) {
	return conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/lab.Echo/"+name)
}

func rpcDown(ctx context.Context, t target) (server string, err error) {
	ctx, conn, err := t.call(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stream, err := t.stream(ctx, conn, "Down")
	if err == nil {
		err = errors.Join(stream.SendMsg(wrapperspb.String("down")), stream.CloseSend())
	}
	if err != nil {
		return "", err
	}
	for i := range 5 {
		answer := new(wrapperspb.StringValue)
		if err := stream.RecvMsg(answer); err != nil {
			return server, err
		}
		if err := echoed(&server, answer, fmt.Sprintf("down %d", i)); err != nil {
			return server, err
		}
	}
	return server, ended(stream, "down")
}

// ended wants the stream to be over, with its trailer.
func ended(stream grpc.ClientStream, trailer string) error {
	if err := stream.RecvMsg(new(wrapperspb.StringValue)); !errors.Is(err, io.EOF) {
		return differs("end of the stream", err, io.EOF)
	}
	return trailerIs(stream.Trailer(), trailer)
}

func rpcUp(ctx context.Context, t target) (server string, err error) {
	ctx, conn, err := t.call(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stream, err := t.stream(ctx, conn, "Up")
	if err != nil {
		return "", err
	}
	for _, word := range []string{"a", "b", "c"} {
		if err := stream.SendMsg(wrapperspb.String(word)); err != nil {
			return "", err
		}
	}
	answer := new(wrapperspb.StringValue)
	if err := errors.Join(stream.CloseSend(), stream.RecvMsg(answer)); err != nil {
		return "", err
	}
	return server, errors.Join(echoed(&server, answer, "a b c"), ended(stream, "up"))
}

func rpcBoth(ctx context.Context, t target) (server string, err error) {
	ctx, conn, err := t.call(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stream, err := t.stream(ctx, conn, "Both")
	if err != nil {
		return "", err
	}
	for i := range 5 {
		word, answer := strings.Repeat("w", 1+i*20_000), new(wrapperspb.StringValue)
		if err := errors.Join(stream.SendMsg(wrapperspb.String(word)), stream.RecvMsg(answer)); err != nil {
			return server, err
		}
		if err := echoed(&server, answer, word); err != nil {
			return server, err
		}
	}
	return server, errors.Join(stream.CloseSend(), ended(stream, "both"))
}
