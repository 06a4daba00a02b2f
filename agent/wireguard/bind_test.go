// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

func message(kind byte, index uint32, size int) []byte {
	b := make([]byte, size)
	b[0] = kind
	binary.LittleEndian.PutUint32(b[4:], index)
	return b
}

func TestFrameQueue(t *testing.T) {
	var q frameQueue
	var want []byte
	for i := range 50 {
		d := bytes.Repeat([]byte{byte(i)}, 1+i*1000)
		q.push(d)
		want, _ = carrier.AppendFrame(want, d)
	}
	q.push(nil)
	if q.size != len(want) {
		t.Errorf("size %d, want %d", q.size, len(want))
	}
	if got := bytes.Join(q.appendTo(nil), nil); !bytes.Equal(got, want) {
		t.Error("the frames are not what was pushed, or not in order")
	}
	q.release()
	if q.size != 0 || len(q.appendTo(nil)) != 0 {
		t.Error("released, but not empty")
	}
	q.push([]byte("again"))
	if got := q.appendTo(nil); len(got) != 1 || string(got[0]) != "\x00\x05again" {
		t.Errorf("after release: %q", got)
	}
}

func TestSessions(t *testing.T) {
	var s sessions
	home, cafe := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")
	if packets, size := s.sent([][]byte{message(messageResponse, 7, 92), message(messageData, 7, minMessageData), message(messageData, 7, 132), {1, 2}}); packets != 1 || size != 100 {
		t.Errorf("%d packets with %d bytes, want 1 with 100", packets, size)
	}
	if s.way(7) != nil {
		t.Error("a way is known before anything was heard")
	}
	s.heardUDP(7, home)
	first := s.way(7)
	if first == nil || first.Carrier != UDP || first.Address != home {
		t.Fatalf("way %+v", first)
	}
	s.heardUDP(7, home)
	if s.way(7) != first {
		t.Error("the same way was noted as another")
	}
	s.heardUDP(7, cafe)
	if got := s.way(7); got.Address != cafe {
		t.Errorf("after roaming: %+v", got)
	}
	relay := newStream(1, nil)
	s.heardRelay(7, relay)
	if got := s.way(7); got.Carrier != Relay || got.Full() {
		t.Errorf("by relay: %+v", got)
	}
	// What nobody began is not remembered.
	s.heardUDP(8, home)
	if s.way(8) != nil {
		t.Error("a forged session is remembered")
	}
	s.prune(time.Now().Add(sessionLife + time.Minute))
	if s.way(7) != nil {
		t.Error("a session of the past is remembered")
	}
}

func TestSessionOf(t *testing.T) {
	if index, ok := sessionOf(message(messageData, 9, minMessageData)); !ok || index != 9 {
		t.Errorf("keepalive: %d, %v", index, ok)
	}
	for name, b := range map[string][]byte{
		"handshake": message(messageInitiation, 9, 148), "short": message(messageData, 9, minMessageData-1), "empty": nil,
	} {
		if _, ok := sessionOf(b); ok {
			t.Errorf("%s has a session", name)
		}
	}
}

// batch returns what a receive function needs, as large as the device's.
func batch() ([][]byte, []int, []conn.Endpoint) {
	packets := make([][]byte, conn.IdealBatchSize)
	for i := range packets {
		packets[i] = make([]byte, carrier.MaxDatagram)
	}
	return packets, make([]int, len(packets)), make([]conn.Endpoint, len(packets))
}

// receiver takes from a receive function what comes, until it is closed.
func receiver(fn conn.ReceiveFunc) (<-chan []byte, <-chan error) {
	got, ended := make(chan []byte, 64), make(chan error, 1)
	go func() {
		packets, sizes, eps := batch()
		for {
			n, err := fn(packets, sizes, eps)
			if err != nil {
				ended <- err
				return
			}
			for i := range n {
				if sizes[i] > 0 {
					got <- bytes.Clone(packets[i][:sizes[i]])
				}
			}
		}
	}()
	return got, ended
}

func wait[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}

// The device closes and opens its Bind as it likes: a relay stream lives through that, also in the middle of a frame,
// and loses nothing.
func TestReopenInTheMiddleOfAFrame(t *testing.T) {
	b := NewBind([32]byte{1}, Events{}, nil)
	defer b.End()
	open := func() (<-chan []byte, <-chan error) {
		fns, _, err := b.Open(0)
		if err != nil {
			t.Fatal(err)
		}
		return receiver(fns[len(fns)-1])
	}
	here, there := net.Pipe()
	defer here.Close()
	served := make(chan error, 1)
	go func() { served <- b.ServeStream(context.Background(), there) }()
	if _, err := here.Write(carrier.Hello[:]); err != nil {
		t.Fatal(err)
	}
	if err := carrier.ReadHello(here); err != nil {
		t.Fatal(err)
	}
	got, ended := open()
	first, second, third := message(4, 1, 100), message(4, 2, 9000), message(4, 3, 50)
	frames, _ := carrier.AppendFrame(nil, first)
	split := len(frames) + 1000
	frames, _ = carrier.AppendFrame(frames, second)
	if _, err := here.Write(frames[:split]); err != nil {
		t.Fatal(err)
	}
	if d := wait(t, got); !bytes.Equal(d, first) {
		t.Fatalf("got %d bytes", len(d))
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, ended); !errors.Is(err, net.ErrClosed) {
		t.Errorf("receive function ended with %v", err)
	}
	// While it is closed the rest arrives, and one more.
	rest, _ := carrier.AppendFrame(frames[split:], third)
	if _, err := here.Write(rest); err != nil {
		t.Fatal(err)
	}
	got, _ = open()
	if d := wait(t, got); !bytes.Equal(d, second) {
		t.Fatalf("got %d bytes, want the frame that was cut", len(d))
	}
	if d := wait(t, got); !bytes.Equal(d, third) {
		t.Fatalf("got %d bytes, want the last frame", len(d))
	}
	if b.Streams() != 1 {
		t.Errorf("%d streams", b.Streams())
	}
	b.End()
	if err := wait(t, served); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("stream ended with %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// Both carriers are open at once, and each datagram goes back by the way of its endpoint.
func TestBothCarriersAtOnce(t *testing.T) {
	b := NewBind([32]byte{1}, Events{}, nil)
	defer b.End()
	fns, port, err := b.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	type from struct {
		data []byte
		ep   conn.Endpoint
	}
	heard := make(chan from, 16)
	for _, fn := range fns {
		go func() {
			packets, sizes, eps := batch()
			for {
				n, err := fn(packets, sizes, eps)
				if err != nil {
					return
				}
				if n > 0 && sizes[0] > 0 {
					heard <- from{bytes.Clone(packets[0][:sizes[0]]), eps[0]}
				}
			}
		}()
	}
	udp, err := net.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	here, there := net.Pipe()
	defer here.Close()
	go func() { _ = b.ServeStream(context.Background(), there) }()
	if _, err := here.Write(carrier.Hello[:]); err != nil {
		t.Fatal(err)
	}
	if err := carrier.ReadHello(here); err != nil {
		t.Fatal(err)
	}
	overUDP, overRelay := message(4, 1, 100), message(4, 2, 20000)
	if _, err := udp.Write(overUDP); err != nil {
		t.Fatal(err)
	}
	first := wait(t, heard)
	if !bytes.Equal(first.data, overUDP) {
		t.Fatalf("over UDP: %d bytes", len(first.data))
	}
	frame, _ := carrier.AppendFrame(nil, overRelay)
	if _, err := here.Write(frame); err != nil {
		t.Fatal(err)
	}
	second := wait(t, heard)
	if !bytes.Equal(second.data, overRelay) {
		t.Fatalf("over relay: %d bytes", len(second.data))
	}
	if err := b.Send([][]byte{overRelay, overUDP}, second.ep); err != nil {
		t.Fatal(err)
	}
	if err := b.Send([][]byte{overUDP}, first.ep); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, carrier.MaxDatagram)
	for _, want := range [][]byte{overRelay, overUDP} {
		n, err := carrier.ReadDatagram(here, buf)
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Fatalf("by relay came %d bytes, %v", n, err)
		}
	}
	if err := udp.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := udp.Read(buf); err != nil || !bytes.Equal(buf[:n], overUDP) {
		t.Fatalf("by UDP came %d bytes, %v", n, err)
	}
	if a, b := first.ep, second.ep; a.DstIP() == b.DstIP() || bytes.Equal(a.DstToBytes(), b.DstToBytes()) {
		t.Error("the two ways can't be told apart")
	}
}

// Who has not been allowed, or does not know the key, gets no answer: as if nobody were here.
func TestProbesOfStrangers(t *testing.T) {
	private, stranger := [32]byte{1}, [32]byte{2}
	friend := [32]byte{9}
	var probed []string
	b := NewBind(private, Events{Probed: func(_ [32]byte, by Carrier, mtu int) {
		probed = append(probed, by.String())
	}}, nil)
	defer b.End()
	if err := b.AllowProbes(friend); err != nil {
		t.Fatal(err)
	}
	if err := b.AllowProbes([32]byte{}); err == nil {
		t.Error("a weak key was allowed")
	}
	key, err := carrier.ProbeKey(private, friend)
	if err != nil {
		t.Fatal(err)
	}
	probe := func(kind carrier.ProbeKind, of, with [32]byte) []byte {
		return carrier.AppendProbe(nil, carrier.Probe{Kind: kind, Hint: carrier.PeerHint(of), Sequence: 5}, with)
	}
	udp := &udpEndpoint{netip.MustParseAddrPort("192.0.2.1:1")}
	for name, datagram := range map[string][]byte{
		"unknown peer": probe(carrier.ProbeRequest, stranger, key),
		"wrong key":    probe(carrier.ProbeRequest, friend, stranger),
		"a reply":      probe(carrier.ProbeReply, friend, key),
		"no probe":     message(4, 1, 100),
	} {
		if b.answerProbe(datagram, UDP, udp) != nil {
			t.Errorf("%s was answered", name)
		}
	}
	if answer := b.answerProbe(probe(carrier.ProbeRequest, friend, key), Relay, newStream(1, nil).endpoint); answer == nil {
		t.Error("a friend was not answered")
	}
	if len(probed) != 1 || probed[0] != "relay" {
		t.Errorf("told of probes by %v", probed)
	}
	b.ForbidProbes(friend)
	if b.answerProbe(probe(carrier.ProbeRequest, friend, key), UDP, udp) != nil {
		t.Error("a peer that was removed was answered")
	}
}

// A stream that takes nothing is never waited for, and takes only so much memory.
func TestFullStream(t *testing.T) {
	s := newStream(1, nil)
	d := [][]byte{make([]byte, 60000)}
	if s.way.Full() {
		t.Error("an empty stream is full")
	}
	for range 2 * relayQueueHard / len(d[0]) {
		if err := s.send(d); err != nil {
			t.Fatal(err)
		}
	}
	if !s.way.Full() || s.queue.size > relayQueueHard {
		t.Errorf("%d bytes wait", s.queue.size)
	}
}

func TestServeRelayEnds(t *testing.T) {
	b := NewBind([32]byte{1}, Events{}, nil)
	defer b.End()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.ServeRelay(ctx, l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(carrier.Hello[:]); err != nil {
		t.Fatal(err)
	}
	if err := carrier.ReadHello(c); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := wait(t, ended); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the stream is still open")
	}
}
