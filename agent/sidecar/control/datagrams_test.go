// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/redirect"
)

// fakeDatagrams are redirected datagrams and the replies to them.
type fakeDatagrams struct {
	arrive  chan redirect.Datagram
	closed  chan struct{}
	reply   chan reply
	onClose func()
}

func newFakeDatagrams(onClose func()) *fakeDatagrams {
	return &fakeDatagrams{make(chan redirect.Datagram), make(chan struct{}), make(chan reply, 10), onClose}
}

type reply struct {
	client  netip.AddrPort
	payload string
}

func (f *fakeDatagrams) Read() (redirect.Datagram, error) {
	select {
	case d := <-f.arrive:
		return d, nil
	case <-f.closed:
		return redirect.Datagram{}, net.ErrClosed
	}
}

func (f *fakeDatagrams) Reply(to redirect.Datagram, payload []byte) error {
	f.reply <- reply{to.Client, string(payload)}
	return nil
}

func (f *fakeDatagrams) Close() error { close(f.closed); f.onClose(); return nil }

// laptopOpener gives each flow a laptop that echoes datagrams, or refuses. It answers "think" when it may.
type laptopOpener struct {
	refuse            wire.Result
	opens             chan wire.Open
	thinking, thought chan struct{}
}

func (l laptopOpener) Open(_ context.Context, open wire.Open) (Conn, wire.Answer, error) {
	l.opens <- open
	if l.refuse != "" {
		return nil, wire.Answer{Result: l.refuse}, nil
	}
	near, far := net.Pipe()
	go func() {
		for {
			var payload []byte
			if receiveDatagram(far, func(got []byte) { payload = bytes.Clone(got) }) != nil {
				return
			}
			if string(payload) == "think" {
				l.thinking <- struct{}{}
				<-l.thought
			}
			if writeDatagram(far, []byte("laptop of "+open.Intercept+" "+string(payload))) != nil {
				return
			}
		}
	}()
	return pipe{near}, wire.Answer{Result: wire.Accepted}, nil
}

type pipe struct{ net.Conn }

func (p pipe) CloseWrite() error { return p.Close() }

// datagramStage is a port of UDP whose app answers at loopback.
func datagramStage(t *testing.T, opener laptopOpener, rule wire.Rule) (*datagramFlows, *fakeDatagrams, func(client, payload string) reply) {
	t.Helper()
	app, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Close() })
	go func() {
		buffer := make([]byte, maxDatagram)
		for {
			n, from, err := app.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			_, _ = app.WriteToUDPAddrPort(append([]byte("app "), buffer[:n]...), from)
		}
	}()
	port := app.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	duty := newMachine().duty()
	duty.pool = opener
	fake := newFakeDatagrams(func() {})
	flows := duty.newDatagramFlows(port, fake)
	flows.setRules([]wire.Rule{rule})
	t.Cleanup(flows.close)
	target := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	return flows, fake, func(client, payload string) reply {
		fake.arrive <- redirect.Datagram{Client: netip.MustParseAddrPort(client), Target: target, Payload: []byte(payload)}
		select {
		case r := <-fake.reply:
			return r
		case <-time.After(patience):
			t.Fatal("no reply")
			return reply{}
		}
	}
}

func TestDatagramsGoToTheLaptop(t *testing.T) {
	opener := laptopOpener{opens: make(chan wire.Open, 10)}
	flows, _, exchange := datagramStage(t, opener, wire.Rule{Intercept: "one"})
	for _, client := range []string{"10.0.0.1:1000", "10.0.0.2:1000"} {
		for _, payload := range []string{"hello", "", "again"} {
			if got, want := exchange(client, payload), (reply{netip.MustParseAddrPort(client), "laptop of one " + payload}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
		open := <-opener.opens
		if open.Client.String() != client || open.Kind != wire.FlowRaw || open.Protocol != "UDP" || open.Validate() != nil {
			t.Errorf("%+v", open)
		}
	}
	reports, requests, open := flows.reports()
	if len(opener.opens) != 0 || open != 2 || reports[0].Matched != 2 || len(requests) != 2 || requests[0].To != "laptop" {
		t.Errorf("%d flows, reports %+v, requests %+v", open, reports, requests)
	}
}

func TestDatagramsFallBackToTheApp(t *testing.T) {
	opener := laptopOpener{refuse: wire.NobodyListens, opens: make(chan wire.Open, 10)}
	flows, _, exchange := datagramStage(t, opener, wire.Rule{Intercept: "one"})
	if got := exchange("10.0.0.1:1000", "hello"); got.payload != "app hello" {
		t.Errorf("%+v", got)
	}
	reports, requests, _ := flows.reports()
	if reports[0].FallenBack != 1 || reports[0].Matched != 0 || requests[0].To != "app" || requests[0].Reason != string(wire.NobodyListens) {
		t.Errorf("%+v, %+v", reports, requests)
	}
}

func TestDatagramsOfASuspendedRuleGoToTheApp(t *testing.T) {
	opener := laptopOpener{opens: make(chan wire.Open, 10)}
	_, _, exchange := datagramStage(t, opener, wire.Rule{Intercept: "one", Suspended: true})
	if got := exchange("10.0.0.1:1000", "hello"); got.payload != "app hello" || len(opener.opens) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestMirroredDatagramsAreAnsweredByTheApp(t *testing.T) {
	opener := laptopOpener{opens: make(chan wire.Open, 10)}
	_, fake, exchange := datagramStage(t, opener, wire.Rule{Intercept: "one", Mirror: true})
	for range 3 {
		if got := exchange("10.0.0.1:1000", "hello"); got.payload != "app hello" {
			t.Errorf("%+v", got)
		}
	}
	if len(opener.opens) != 1 || len(fake.reply) != 0 {
		t.Errorf("%d opens, %d more replies", len(opener.opens), len(fake.reply))
	}
}

// TestDatagramsInFlightWhenTheirInterceptEnds sends one whose answer takes until after the end.
func TestDatagramsInFlightWhenTheirInterceptEnds(t *testing.T) {
	for name, next := range map[string]struct {
		rules  []wire.Rule
		answer string
	}{
		"and the app has the port again":  {nil, "app hello"},
		"and another one begins":          {[]wire.Rule{{Intercept: "two"}}, "laptop of two hello"},
		"because the laptop is suspended": {[]wire.Rule{{Intercept: "one", Suspended: true}}, "app hello"},
	} {
		t.Run(name, func(t *testing.T) {
			opener := laptopOpener{opens: make(chan wire.Open, 10), thinking: make(chan struct{}), thought: make(chan struct{})}
			flows, fake, exchange := datagramStage(t, opener, wire.Rule{Intercept: "one"})
			exchange("10.0.0.1:1000", "hello")
			fake.arrive <- redirect.Datagram{Client: netip.MustParseAddrPort("10.0.0.1:1000"), Payload: []byte("think")}
			<-opener.thinking
			flows.letGo()
			if next.rules != nil {
				flows.setRules(next.rules)
				flows.setRedirected(!next.rules[0].Suspended)
			}
			if got := exchange("10.0.0.1:1000", "hello"); got.payload != next.answer {
				t.Errorf("the next datagram was answered %q, want %q", got.payload, next.answer)
			}
			close(opener.thought)
			select {
			case got := <-fake.reply:
				if got.payload != "laptop of one think" {
					t.Errorf("answered %q", got.payload)
				}
			case <-time.After(patience):
				t.Error("the answer that was under way is lost")
			}
		})
	}
}

func TestTheLaptopIsOfferedFlowsAgainThatItDidNotTake(t *testing.T) {
	opener := laptopOpener{refuse: wire.NobodyListens, opens: make(chan wire.Open, 10)}
	flows, _, exchange := datagramStage(t, opener, wire.Rule{Intercept: "one"})
	exchange("10.0.0.1:1000", "hello")
	opener.refuse = ""
	flows.duty.pool = opener
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		got := exchange("10.0.0.1:1000", "hello")
		if got.payload == "laptop of one hello" {
			break
		}
		if got.payload != "app hello" || time.Since(began) > patience {
			t.Fatalf("answered %q", got.payload)
		}
	}
	if len(opener.opens) != 2 {
		t.Errorf("asked %d times, want 2", len(opener.opens))
	}
}

func TestManyClientsOfDatagrams(t *testing.T) {
	opener := laptopOpener{opens: make(chan wire.Open, 2*maxFlows)}
	flows, _, exchange := datagramStage(t, opener, wire.Rule{Intercept: "one"})
	for i := range maxFlows + 10 {
		if got := exchange(fmt.Sprintf("10.0.0.1:%d", 1000+i), "hello"); got.payload != "laptop of one hello" {
			t.Fatalf("client %d was answered %q", i, got.payload)
		}
	}
	_, _, open := flows.reports()
	exchange(fmt.Sprintf("10.0.0.1:%d", 1000+maxFlows+9), "again")
	if open != maxFlows || len(opener.opens) != maxFlows+10 {
		t.Errorf("%d flows, %d were opened", open, len(opener.opens))
	}
}

// TestPortsOfDatagramsAreLetGo keeps the sockets of a port that is let go for a while, for it may be taken again.
func TestPortsOfDatagramsAreLetGo(t *testing.T) {
	m := newMachine()
	duty := m.duty()
	taken := wire.Order{Ports: []wire.PortOrder{{Port: 8080, Protocol: "UDP", Rules: []wire.Rule{{Intercept: "one"}}}}}
	see := func(want string) {
		t.Helper()
		if got := m.happened(); got != want {
			t.Errorf("happened: %s\nwant: %s", got, want)
		}
	}
	duty.Apply(taken)
	see("open redirect; datagrams 8080; rules; redirect 8080{true false}UDP")
	duty.Apply(wire.Order{})
	see("redirect ; rules")
	duty.Apply(taken)
	see("rules; redirect 8080{true false}UDP")
	duty.Apply(wire.Order{})
	see("redirect ; rules")
	for began := time.Now(); time.Since(began) < patience; time.Sleep(100 * time.Millisecond) {
		if m.mu.Lock(); len(m.events) > 0 {
			m.mu.Unlock()
			break
		}
		m.mu.Unlock()
	}
	see("close datagrams 8080")
	duty.Apply(taken)
	see("datagrams 8080; rules; redirect 8080{true false}UDP")
	duty.Close()
}

func TestReadSocket(t *testing.T) {
	far, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	near, err := net.DialUDP("udp4", nil, far.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 60000} {
		go far.WriteToUDP(bytes.Repeat([]byte{'x'}, size), near.LocalAddr().(*net.UDPAddr))
		got := -1
		if err := readSocket(near, func(payload []byte) { got = len(payload) }); err != nil || got != size {
			t.Errorf("read %d bytes, %v; want %d", got, err, size)
		}
	}
	_ = far.Close()
	_, _ = near.Write([]byte("refused"))
	if err := readSocket(near, func([]byte) {}); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("a refused datagram: %v", err)
	}
	time.AfterFunc(10*time.Millisecond, func() { _ = near.Close() })
	if err := readSocket(near, func([]byte) {}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed socket: %v", err)
	}
}

func FuzzReceiveDatagram(f *testing.F) {
	f.Add([]byte{0, 0})
	f.Add([]byte{0, 5, 'h', 'e', 'l', 'l', 'o', 0, 1, 'x'})
	f.Add([]byte{255, 255, 1})
	f.Fuzz(func(t *testing.T, stream []byte) {
		reader := bytes.NewReader(stream)
		var again bytes.Buffer
		for {
			if receiveDatagram(reader, func(payload []byte) {
				if err := writeDatagram(&again, payload); err != nil {
					t.Fatal(err)
				}
			}) != nil {
				break
			}
		}
		if whole, _ := io.ReadAll(&again); !bytes.HasPrefix(stream, whole) {
			t.Errorf("%x became %x", stream, whole)
		}
	})
}
