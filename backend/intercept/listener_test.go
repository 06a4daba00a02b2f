// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/backend/programs"
	"github.com/fairlead-dev/fairlead/backend/traffic"
)

var local4 = []netip.Addr{netip.MustParseAddr("127.0.0.1")}

// listening opens a listener that sends the flows of every intercept to a target; nil refuses all.
func listening(t *testing.T, to *target) *listener {
	t.Helper()
	l, err := listen(local4, local4, 0, func(context.Context, wire.Open) *target { return to }, traffic.NewLog(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

// open asks for a flow as the gateway does.
func open(t *testing.T, l *listener, o wire.Open) (*net.TCPConn, wire.Answer) {
	t.Helper()
	conn, err := net.Dial("tcp", netip.AddrPortFrom(local4[0], l.port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var answer wire.Answer
	if err := errors.Join(wire.WriteMessage(conn, o, wire.MaxOpen), wire.ReadMessage(conn, &answer, wire.MaxOpen)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn), answer
}

// program listens on a free port and serves each connection.
func program(t *testing.T, serve func(*net.TCPConn)) *target {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { listener.Close(); served.Wait() })
	return &target{protocol: "TCP", address: listener.Addr().String()}
}

// nobody is a target where nothing listens.
func nobody(t *testing.T) *target {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	return &target{protocol: "TCP", address: listener.Addr().String()}
}

var tcpOpen = wire.Open{Intercept: "1", Port: 8080, Protocol: "TCP", Kind: wire.FlowRaw}

func TestAFlowIsCarriedWithItsEnds(t *testing.T) {
	l := listening(t, program(t, func(c *net.TCPConn) {
		sent, _ := io.ReadAll(c) // up to the caller's half close
		c.Write(append([]byte("got "), sent...))
	}))
	conn, answer := open(t, l, tcpOpen)
	if answer.Result != wire.Accepted || answer.Local == "" {
		t.Fatalf("got %+v", answer)
	}
	payload := make([]byte, 3<<20)
	rand.Read(payload)
	go func() {
		conn.Write(payload)
		conn.CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, append([]byte("got "), payload...)) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestAResetIsPassedOn(t *testing.T) {
	l := listening(t, program(t, func(c *net.TCPConn) {
		io.ReadFull(c, make([]byte, 2))
		c.SetLinger(0)
	}))
	conn, _ := open(t, l, tcpOpen)
	conn.Write([]byte("hi"))
	if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the flow ended with %v, want a reset", err)
	}
}

func TestTheProgramMayBeAbsent(t *testing.T) {
	l := listening(t, nobody(t))
	for _, kind := range []wire.FlowKind{wire.FlowRaw, wire.FlowHTTP, wire.FlowMirror, wire.FlowProbe} {
		o := tcpOpen
		o.Kind = kind
		if _, answer := open(t, l, o); answer.Result != wire.NobodyListens || answer.Detail == "" || answer.Local == "" {
			t.Errorf("%s: got %+v", kind, answer)
		}
	}
}

func TestAProbeDisturbsNobody(t *testing.T) {
	connected := make(chan struct{}, 16)
	l := listening(t, program(t, func(*net.TCPConn) { connected <- struct{}{} }))
	o := tcpOpen
	o.Kind = wire.FlowProbe
	for range 3 {
		if _, answer := open(t, l, o); answer.Result != wire.Accepted {
			t.Fatalf("got %+v", answer)
		}
	}
	if _, known := programs.Listens("TCP", netip.AddrPort{}); known && len(connected) != 0 {
		t.Errorf("the program was connected to %d times", len(connected))
	}
}

func TestAMirrorIsNotAnswered(t *testing.T) {
	got := make(chan []byte, 1)
	l := listening(t, program(t, func(c *net.TCPConn) {
		c.Write([]byte("an answer that nobody reads"))
		sent, _ := io.ReadAll(c)
		got <- sent
	}))
	o := tcpOpen
	o.Kind = wire.FlowMirror
	conn, _ := open(t, l, o)
	conn.Write([]byte("a copy"))
	conn.CloseWrite()
	if answer, err := io.ReadAll(conn); err != nil || len(answer) != 0 {
		t.Errorf("the mirror answered %q, %v", answer, err)
	}
	if sent := <-got; string(sent) != "a copy" {
		t.Errorf("the program got %q", sent)
	}
}

func TestDatagramsKeepTheirBounds(t *testing.T) {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			socket.WriteTo(append([]byte("got "), buffer[:n]...), from)
		}
	}()
	l := listening(t, &target{protocol: "UDP", address: socket.LocalAddr().String()})
	conn, answer := open(t, l, wire.Open{Intercept: "1", Port: 53, Protocol: "UDP", Kind: wire.FlowRaw})
	if answer.Result != wire.Accepted {
		t.Fatalf("got %+v", answer)
	}
	for _, payload := range []string{"a", "", string(bytes.Repeat([]byte("x"), 9000))} {
		frame := binary.BigEndian.AppendUint16(nil, uint16(len(payload)))
		conn.Write(append(frame, payload...))
		buffer := make([]byte, maxDatagram)
		n, err := readDatagram(conn, buffer)
		if err != nil || string(buffer[:n]) != "got "+payload {
			t.Errorf("sent %d bytes, got %d, %v", len(payload), n, err)
		}
	}
}

func TestOnlyTheGatewayIsTaken(t *testing.T) {
	l, err := listen(local4, []netip.Addr{netip.MustParseAddr("198.19.0.2")}, 0, nil, traffic.NewLog(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	conn, err := net.Dial("tcp", netip.AddrPortFrom(local4[0], l.port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	wire.WriteMessage(conn, tcpOpen, wire.MaxOpen) //nolint:errcheck // the listener may have closed it by now
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("somebody who is not the gateway was answered")
	}
}

func TestUnknownAndSenselessFlowsAreRefused(t *testing.T) {
	l := listening(t, nil)
	if _, answer := open(t, l, tcpOpen); answer.Result != wire.NotIntercepted {
		t.Errorf("got %+v", answer)
	}
	conn, err := net.Dial("tcp", netip.AddrPortFrom(local4[0], l.port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write([]byte{0xff, 0xff, 0xff, 0xff, '{'})
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a message of 4 GiB was answered")
	}
}

func TestClosingEndsFlows(t *testing.T) {
	l := listening(t, program(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) }))
	conn, _ := open(t, l, tcpOpen)
	l.close()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the flow goes on")
	}
}

func TestAPortThatIsTakenIsReplaced(t *testing.T) {
	first := listening(t, nil)
	second, err := listen(local4, local4, first.port, nil, traffic.NewLog(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer second.close()
	if second.port == first.port || second.port == 0 {
		t.Errorf("got port %d beside %d", second.port, first.port)
	}
}

func FuzzReadDatagram(f *testing.F) {
	f.Add([]byte{0, 1, 'a'})
	f.Add([]byte{0xff, 0xff})
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		buffer := make([]byte, maxDatagram)
		n, err := readDatagram(bytes.NewReader(data), buffer)
		if err == nil && !bytes.Equal(buffer[:n], data[2:2+n]) {
			t.Errorf("read %d bytes that are not those sent", n)
		}
	})
}
