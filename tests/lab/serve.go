// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// serverHeader names the server in every HTTP answer.
const serverHeader = "X-Lab-Server"

// settings say where a server listens, and who it is.
type settings struct {
	name               string
	web, raw, udp, tap string // addresses; empty is off
	illness            *illness
}

func serveCommand() *cobra.Command {
	var s settings
	host, _ := os.Hostname()
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve every protocol until told to end", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.serve(cmd.Context()) },
	}
	cmd.Flags().StringVar(&s.name, "name", host, "name to answer with")
	cmd.Flags().StringVar(&s.web, "web", ":8080", "HTTP/1.1, h2c, gRPC, server-sent events and WebSocket")
	cmd.Flags().StringVar(&s.raw, "raw", ":7000", "lines over TCP")
	cmd.Flags().StringVar(&s.udp, "udp", ":7007", "datagrams")
	cmd.Flags().StringVar(&s.tap, "tap", ":8081", "HTTP/1.1 that answers with the bytes of the request as they came")
	return cmd
}

func (s settings) serve(ctx context.Context) error {
	s.illness = newIllness()
	group, ctx := errgroup.WithContext(ctx)
	if s.web != "" {
		group.Go(func() error { return s.serveWeb(ctx) })
	}
	if s.raw != "" {
		group.Go(func() error { return s.illness.serveWhileHealthy(ctx, s.raw, s.lines) })
	}
	if s.tap != "" {
		group.Go(func() error { return serveStreams(ctx, s.tap, s.verbatim) })
	}
	if s.udp != "" {
		group.Go(func() error { return s.serveDatagrams(ctx) })
	}
	return group.Wait()
}

func (s settings) serveWeb(ctx context.Context) error {
	listener, err := net.Listen("tcp", s.web)
	if err != nil {
		return fmt.Errorf("listen for HTTP: %w", err)
	}
	server := &http.Server{Handler: s.handler(), Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// handler serves every kind of HTTP, and gRPC to those who speak it.
func (s settings) handler() http.Handler {
	rpc := newRPCServer(s.name, s.illness)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, map[string]any{"server": s.name, "from": r.RemoteAddr, "proto": r.Proto, "method": r.Method, "host": r.Host, "headers": r.Header})
	})
	mux.HandleFunc("/healthz", s.illness.serveHTTP)
	mux.HandleFunc("/break", s.illness.arrange)
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.PathValue("code"))
		w.WriteHeader(max(code, 200))
	})
	mux.HandleFunc("/sum", sum)
	mux.HandleFunc("/chunks", chunks)
	mux.HandleFunc("/events", events)
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		pause, _ := time.ParseDuration(r.URL.Query().Get("for"))
		select {
		case <-time.After(pause):
		case <-r.Context().Done():
		}
		fmt.Fprintln(w, s.name)
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { // both ways at once
		controller := http.NewResponseController(w)
		_ = controller.EnableFullDuplex() // HTTP/2 always is
		w.WriteHeader(http.StatusOK)
		_ = controller.Flush()
		buffer := make([]byte, 32<<10)
		for {
			n, err := r.Body.Read(buffer)
			if n > 0 {
				if _, err := w.Write(buffer[:n]); err != nil || controller.Flush() != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/ws", s.echoMessages)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(serverHeader, s.name)
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			rpc.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the caller may have gone away
}

// sum answers with the digest of the body and the trailers that came behind it.
func sum(w http.ResponseWriter, r *http.Request) {
	digest := sha256.New()
	n, err := io.Copy(digest, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, map[string]any{"bytes": n, "sha256": hex.EncodeToString(digest.Sum(nil)), "trailer": r.Trailer.Get("X-Lab-Trailer")})
}

// chunks sends ?n= chunks one by one, and a trailer.
func chunks(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	w.Header().Set("Trailer", "X-Lab-Trailer")
	controller := http.NewResponseController(w)
	for i := range n {
		fmt.Fprintf(w, "chunk %d\n", i)
		_ = controller.Flush()
	}
	w.Header().Set("X-Lab-Trailer", strconv.Itoa(n))
}

// events sends ?n= server-sent events, 20 ms apart.
func events(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	w.Header().Set("Content-Type", "text/event-stream")
	controller := http.NewResponseController(w)
	for i := range n {
		fmt.Fprintf(w, "id: %d\ndata: %d\n\n", i, time.Now().UnixMicro())
		if controller.Flush() != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s settings) echoMessages(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	conn.SetReadLimit(16 << 20)
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if err := conn.Write(r.Context(), kind, append([]byte(s.name+": "), message...)); err != nil {
			return
		}
	}
}

// serveStreams serves TCP connections until ctx is done.
func serveStreams(ctx context.Context, address string, serve func(*net.TCPConn)) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen for TCP: %w", err)
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go func() {
			defer conn.Close()
			serve(conn.(*net.TCPConn))
		}()
	}
}

// lines answers each line with the server's name and the line. When the caller has ended its half, the digest of all that
// came follows as the last line.
func (s settings) lines(conn *net.TCPConn) {
	digest := sha256.New()
	reader := bufio.NewReaderSize(io.TeeReader(conn, digest), 64<<10)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			break
		}
		if _, err := io.WriteString(conn, s.name+": "+line); err != nil {
			return
		}
	}
	fmt.Fprintf(conn, "%s: sha256 %x\n", s.name, digest.Sum(nil))
}

// verbatim answers every request with its own bytes as the body, in headers of unusual spelling and order.
func (s settings) verbatim(conn *net.TCPConn) {
	reader := bufio.NewReader(conn)
	for {
		var got strings.Builder
		length := 0
		for {
			line, err := reader.ReadString('\n')
			if err != nil {
				return
			}
			got.WriteString(line)
			if name, value, found := strings.Cut(line, ":"); found && strings.EqualFold(name, "content-length") {
				length, _ = strconv.Atoi(strings.TrimSpace(value))
			}
			if line == "\r\n" {
				break
			}
		}
		if _, err := io.CopyN(&got, reader, int64(length)); err != nil {
			return
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 Quite Fine\r\nx-LAB-server: %s\r\nZ-Last:  two  spaces \r\ncontent-LENGTH: %d\r\nA-First: 1\r\nA-First: 2\r\n\r\n%s", s.name, got.Len(), got.String())
	}
}

func (s settings) serveDatagrams(ctx context.Context) error {
	conn, err := net.ListenPacket("udp", s.udp)
	if err != nil {
		return fmt.Errorf("listen for datagrams: %w", err)
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	buffer := make([]byte, 65535)
	for {
		n, caller, err := conn.ReadFrom(buffer)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive a datagram: %w", err)
		}
		_, _ = conn.WriteTo(append([]byte(s.name+": "), buffer[:n]...), caller) // a caller that is gone harms nobody else
	}
}
