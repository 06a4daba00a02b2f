// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
	"github.com/fairlead-dev/fairlead/helper/api"
)

// openBind opens a bind for a test, with what it reports.
func openBind(t *testing.T) (b *bind, receivers []conn.ReceiveFunc, port uint16, probes chan []byte) {
	t.Helper()
	b, probes = newBind(), make(chan []byte, 10)
	b.onProbe = func(_ api.CarrierName, datagram []byte) { probes <- append([]byte(nil), datagram...) }
	b.onLarge = func(int) {}
	receivers, port, err := b.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, receivers, port, probes
}

// message makes a WireGuard message of a kind and size.
func message(kind byte, size int, numbers ...byte) []byte {
	m := make([]byte, size)
	m[0] = kind
	copy(m[4:], numbers)
	return m
}

func TestBindSendsByTheCarrierInUse(t *testing.T) {
	b, _, _, _ := openBind(t)
	far, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	data := message(device.MessageTransportType, 100)
	if err := b.Send([][]byte{data}, gateway{b}); err != nil {
		t.Errorf("without a carrier: %v", err)
	}
	b.active.Store(api.CarrierUDP)
	if err := b.Send([][]byte{data}, gateway{b}); err != nil {
		t.Errorf("without an endpoint: %v", err)
	}
	b.endpoint.Store(far.LocalAddr().(*net.UDPAddr).AddrPort())
	if err := b.Send([][]byte{data}, gateway{b}); err != nil {
		t.Error(err)
	}
	buf := make([]byte, 200)
	if n, _, err := far.ReadFrom(buf); err != nil || n != len(data) {
		t.Errorf("received %d bytes, %v", n, err)
	}
	b.active.Store(api.CarrierRelay)
	if err := b.Send([][]byte{data}, gateway{b}); !errors.Is(err, errNoRelay) || b.relayError.String() == "" {
		t.Errorf("without a stream: %v, %q", err, b.relayError.String())
	}
}

func TestBindKeepsProbesFromWireGuard(t *testing.T) {
	b, receivers, port, probes := openBind(t)
	b.initiation.Store(7)
	far, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	probe := carrier.AppendProbe(nil, carrier.Probe{Kind: carrier.ProbeReply}, [32]byte{1})
	b.unanswered.Store(1)
	for _, step := range []struct {
		name     string
		datagram []byte
		shown    bool
		check    func() bool
	}{
		{"probe", probe, false, func() bool { return len(<-probes) == len(probe) }},
		{"stale handshake response", message(device.MessageResponseType, device.MessageResponseSize, 1, 0, 0, 0, 8), true,
			func() bool { return b.response.Load() == 0 }},
		{"handshake response", message(device.MessageResponseType, device.MessageResponseSize, 1, 0, 0, 0, 7), true,
			func() bool { return b.response.Load() != 0 }},
		{"data", message(device.MessageTransportType, 100), true, func() bool { return b.unanswered.Load() == 0 }},
		{"nothing", nil, false, func() bool { return true }},
	} {
		if _, err := far.Write(step.datagram); err != nil {
			t.Fatal(err)
		}
		bufs, sizes, endpoints := [][]byte{make([]byte, 2000)}, make([]int, 1), make([]conn.Endpoint, 1)
		if _, err := receivers[1](bufs, sizes, endpoints); err != nil { // the first is the relay's
			t.Fatal(err)
		}
		if (sizes[0] > 0) != step.shown || !step.check() {
			t.Errorf("%s: shown to WireGuard as %d bytes; check %v", step.name, sizes[0], step.check())
		}
	}
}

func TestBindNotesWhatItSends(t *testing.T) {
	b, _, _, _ := openBind(t)
	send := func(datagram []byte) {
		t.Helper()
		if err := b.Send([][]byte{datagram}, gateway{b}); err != nil {
			t.Fatal(err)
		}
	}
	send(message(device.MessageTransportType, device.MessageKeepaliveSize))
	if b.unanswered.Load() != 0 {
		t.Error("a keepalive waits for no answer")
	}
	send(message(device.MessageTransportType, 100))
	since := b.unanswered.Load()
	if since == 0 {
		t.Error("data waits for an answer")
	}
	send(message(device.MessageTransportType, 100))
	if b.unanswered.Load() != since {
		t.Error("more data makes the wait no shorter")
	}
	send(message(device.MessageInitiationType, device.MessageInitiationSize, 9, 0, 0, 0))
	if b.initiation.Load() != 9 {
		t.Errorf("initiation %d", b.initiation.Load())
	}
}

func TestBindReopens(t *testing.T) {
	b, receivers, _, _ := openBind(t)
	if _, _, err := b.Open(0); !errors.Is(err, conn.ErrBindAlreadyOpen) {
		t.Errorf("second open: %v", err)
	}
	ended := make(chan error, len(receivers))
	for _, receive := range receivers {
		go func() {
			_, err := receive([][]byte{make([]byte, 2000)}, make([]int, 1), make([]conn.Endpoint, 1))
			ended <- err
		}()
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for range receivers {
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("receive after close: %v", err)
		}
	}
	if err := b.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, _, err := b.Open(0); err != nil {
		t.Errorf("open again: %v", err)
	}
}

func TestGatewayEndpoint(t *testing.T) {
	b := newBind()
	if got := (gateway{b}).DstToString(); got != "127.0.0.1:8642" {
		t.Errorf("without a carrier: %s", got)
	}
	b.active.Store(api.CarrierUDP)
	b.endpoint.Store(netip.MustParseAddrPort("[2001:db8::1]:51820"))
	if got := (gateway{b}).DstToString(); got != "[2001:db8::1]:51820" {
		t.Errorf("over UDP: %s", got)
	}
	if _, err := b.ParseEndpoint("somewhere"); err == nil {
		t.Error("an endpoint that is none was taken")
	}
	if endpoint, err := b.ParseEndpoint("192.0.2.1:1"); err != nil || endpoint != (gateway{b}) {
		t.Errorf("got %v, %v", endpoint, err)
	}
}
