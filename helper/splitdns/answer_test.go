// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

// testResolver asks the two servers by the rules of testConfig.
func testResolver(gateway, upstream *nameServer) *resolver {
	r := &resolver{forwarder: newForwarder(), checks: newChecks(), upstreams: func() []netip.AddrPort { return nil }}
	if upstream != nil {
		r.upstreams = func() []netip.AddrPort { return []netip.AddrPort{upstream.address} }
	}
	r.rules.Store(&rules{zones: newZones(testConfig()), gateway: []netip.AddrPort{gateway.address}, self: testConfig().Addresses[0]})
	return r
}

func question(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), qtype)
	return m
}

// outcome is the code and the first address of an answer.
func outcome(answer *dns.Msg) string {
	text := dns.RcodeToString[answer.Rcode]
	for _, a := range addressesOf(answer) {
		text += " " + a.String()
	}
	return text
}

func TestAnswersComeFromTheRightPlace(t *testing.T) {
	gateway := serveNames(t, func(q dns.Question, _ bool) *dns.Msg {
		switch q.Name {
		case "catalog.shop-a.svc.cluster.local.", "catalog.dev.", "catalog.shop-a.", "catalog.":
			if q.Qtype == dns.TypeA {
				return withAddress(q.Name, "10.96.0.7")
			}
			return withCode(dns.RcodeSuccess) // no IPv6 address: an answer without one
		case "broken.dev.":
			return withCode(dns.RcodeServerFailure)
		}
		return withCode(dns.RcodeNameError)
	})
	upstream := serveNames(t, func(q dns.Question, _ bool) *dns.Msg {
		if q.Name == "gone.example.com." {
			return withCode(dns.RcodeNameError)
		}
		return withAddress(q.Name, "203.0.113.80")
	})
	r := testResolver(gateway, upstream)
	for _, c := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"catalog.shop-a.svc.cluster.local", dns.TypeA, "NOERROR 10.96.0.7"},
		{"Catalog.shop-a", dns.TypeA, "NOERROR 10.96.0.7"},
		{"catalog.shop-a", dns.TypeAAAA, "NOERROR"},
		{"none.shop-a.svc", dns.TypeA, "NXDOMAIN"},
		{"catalog", dns.TypeA, "NOERROR 10.96.0.7"},
		{"nas", dns.TypeA, "NOERROR 203.0.113.80"},
		{"catalog.dev", dns.TypeA, "NOERROR 10.96.0.7"},
		{"catalog.dev", dns.TypeAAAA, "NOERROR"}, // the service, not the site, for both families
		{"website.dev", dns.TypeA, "NOERROR 203.0.113.80"},
		{"broken.dev", dns.TypeA, "NOERROR 203.0.113.80"},
		{"www.example.com", dns.TypeA, "NOERROR 203.0.113.80"},
		{"gone.example.com", dns.TypeA, "NXDOMAIN"},
		{"other.fairlead-check.cluster.local", dns.TypeA, "NXDOMAIN"},
	} {
		request := question(c.name, c.qtype)
		answer := r.answer(t.Context(), request)
		if got := outcome(answer); got != c.want {
			t.Errorf("%s %s: got %s, want %s", c.name, dns.TypeToString[c.qtype], got, c.want)
		}
		if answer.Id != request.Id || !answer.Response || !answer.RecursionAvailable || answer.Question[0] != request.Question[0] {
			t.Errorf("%s: the answer does not fit the question: %v", c.name, answer)
		}
		if len(answer.Answer) > 0 && answer.Answer[0].Header().Name != request.Question[0].Name {
			t.Errorf("%s: spelled %s in the answer", c.name, answer.Answer[0].Header().Name)
		}
		if answer.IsEdns0() != nil {
			t.Errorf("%s: EDNS in an answer to a question without", c.name)
		}
	}
}

// TestNamedDomainsAreAskedExactly: the gateway must not complete them as in a pod.
func TestNamedDomainsAreAskedExactly(t *testing.T) {
	packet, stream := freePort(t)
	_ = stream.Close()
	exact := make(chan bool, 2)
	server := &dns.Server{PacketConn: packet, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, request *dns.Msg) {
		options := request.IsEdns0().Option
		exact <- len(options) == 1 && options[0].Option() == carrier.DNSOptionExact
		_ = w.WriteMsg(new(dns.Msg).SetReply(request))
	})}
	started := make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	go func() { _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown() })
	r := testResolver(&nameServer{address: packet.LocalAddr().(*net.UDPAddr).AddrPort()}, nil)
	for name, want := range map[string]bool{"orders.db.example.net": true, "catalog.shop-a.svc": false} {
		if got := outcome(r.answer(t.Context(), question(name, dns.TypeA))); got != "NOERROR" {
			t.Errorf("%s: %s", name, got)
		}
		if got := <-exact; got != want {
			t.Errorf("%s is asked for exactly: %t", name, got)
		}
	}
}

func TestQuestionsThatAreNotForwarded(t *testing.T) {
	gateway := serveNames(t, func(dns.Question, bool) *dns.Msg { return withCode(dns.RcodeSuccess) })
	r := testResolver(gateway, gateway)
	chaos := question("version.bind", dns.TypeTXT)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	two := question("a.svc", dns.TypeA)
	two.Question = append(two.Question, two.Question[0])
	notify := question("a.svc", dns.TypeSOA)
	notify.Opcode = dns.OpcodeNotify
	response := question("a.svc", dns.TypeA)
	response.Response = true
	for name, c := range map[string]struct {
		request *dns.Msg
		want    int
	}{
		"transfer": {question("cluster.local", dns.TypeAXFR), dns.RcodeRefused},
		"chaos":    {chaos, dns.RcodeRefused},
		"two":      {two, dns.RcodeFormatError},
		"none":     {new(dns.Msg), dns.RcodeFormatError},
		"notify":   {notify, dns.RcodeFormatError},
		"response": {response, dns.RcodeFormatError},
	} {
		if got := r.answer(t.Context(), c.request).Rcode; got != c.want {
			t.Errorf("%s: %s", name, dns.RcodeToString[got])
		}
	}
	if n := gateway.asked.Load(); n != 0 {
		t.Errorf("%d questions were sent on", n)
	}
}

func TestLongAnswersComeOverTCP(t *testing.T) {
	gateway := serveNames(t, func(q dns.Question, tcp bool) *dns.Msg {
		if !tcp {
			return &dns.Msg{MsgHdr: dns.MsgHdr{Truncated: true}}
		}
		long := new(dns.Msg)
		for i := range 100 {
			long.Answer = append(long.Answer, withAddress(q.Name, netip.AddrFrom4([4]byte{10, 244, 0, byte(i)}).String()).Answer[0])
		}
		return long
	})
	r := testResolver(gateway, nil)
	if n := len(r.answer(t.Context(), question("inventory.shop-a", dns.TypeA)).Answer); n != 100 {
		t.Errorf("%d records", n)
	}
	l, err := listenOnFree([]netip.Addr{netip.MustParseAddr("127.0.0.1")}, r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}()
	server := netip.AddrPortFrom(l.addresses[0], l.port).String()
	short, _, err := new(dns.Client).Exchange(question("inventory.shop-a", dns.TypeA), server)
	if err != nil || !short.Truncated || len(short.Answer) == 100 {
		t.Errorf("over UDP: %v, %v", short, err)
	}
	long, _, err := (&dns.Client{Net: "tcp"}).Exchange(question("inventory.shop-a", dns.TypeA), server)
	if err != nil || len(long.Answer) != 100 {
		t.Errorf("over TCP: %v", err)
	}
}

func TestSilenceIsAnsweredAndNotAskedAgainAtOnce(t *testing.T) {
	gateway := serveNames(t, func(dns.Question, bool) *dns.Msg { return nil })
	upstream := serveNames(t, func(q dns.Question, _ bool) *dns.Msg { return withAddress(q.Name, "203.0.113.80") })
	r := testResolver(gateway, upstream)
	// A name that is perhaps the cluster's is still found outside it.
	if got := outcome(r.answer(t.Context(), question("website.dev", dns.TypeA))); got != "NOERROR 203.0.113.80" {
		t.Errorf("website.dev: %s", got)
	}
	if got := outcome(r.answer(t.Context(), question("catalog.shop-a", dns.TypeA))); got != "SERVFAIL" {
		t.Errorf("catalog.shop-a: %s", got)
	}
	asked := gateway.asked.Load()
	for range 20 {
		if got := outcome(r.answer(t.Context(), question("catalog.shop-a", dns.TypeA))); got != "SERVFAIL" {
			t.Errorf("again: %s", got)
		}
	}
	if now := gateway.asked.Load(); now != asked {
		t.Errorf("the silent gateway was asked %d times more", now-asked)
	}
	r.forwarder.forget()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := r.forwarder.ask(ctx, "gateway", question("catalog.shop-a", dns.TypeA), r.rules.Load().gateway, gatewayTries)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after forget it is not asked again: %v", err)
	}
}

func TestLostDatagramIsAskedAgain(t *testing.T) {
	var first atomic.Bool
	gateway := serveNames(t, func(q dns.Question, _ bool) *dns.Msg {
		if !first.Swap(true) {
			return nil
		}
		return withAddress(q.Name, "10.96.0.7")
	})
	if got := outcome(testResolver(gateway, nil).answer(t.Context(), question("catalog.shop-a", dns.TypeA))); got != "NOERROR 10.96.0.7" {
		t.Errorf("got %s", got)
	}
}

func TestNextServerWhenOneCantSay(t *testing.T) {
	broken := serveNames(t, func(dns.Question, bool) *dns.Msg { return withCode(dns.RcodeRefused) })
	good := serveNames(t, func(q dns.Question, _ bool) *dns.Msg { return withAddress(q.Name, "203.0.113.80") })
	r := testResolver(broken, good)
	r.upstreams = func() []netip.AddrPort { return []netip.AddrPort{broken.address, good.address} }
	if got := outcome(r.answer(t.Context(), question("www.example.com", dns.TypeA))); got != "NOERROR 203.0.113.80" {
		t.Errorf("got %s", got)
	}
	r.upstreams = func() []netip.AddrPort { return []netip.AddrPort{broken.address} }
	if got := outcome(r.answer(t.Context(), question("www.example.org", dns.TypeA))); got != "REFUSED" {
		t.Errorf("got %s", got)
	}
}

func TestEqualQuestionsShareAnAnswer(t *testing.T) {
	release := make(chan struct{})
	arrived := make(chan struct{}, 100)
	gateway := serveNames(t, func(q dns.Question, _ bool) *dns.Msg {
		arrived <- struct{}{}
		<-release
		return withAddress(q.Name, "10.96.0.7")
	})
	r := testResolver(gateway, nil)
	// Long enough that no second attempt is made while the test runs.
	ask := func() (*dns.Msg, error) {
		return r.forwarder.ask(t.Context(), "gateway", question("catalog.shop-a", dns.TypeA), r.rules.Load().gateway, []time.Duration{time.Minute})
	}
	var askers sync.WaitGroup
	for range 50 {
		askers.Go(func() {
			if answer, err := ask(); err != nil || outcome(answer) != "NOERROR 10.96.0.7" {
				t.Errorf("%v, %v", answer, err)
			}
		})
	}
	<-arrived
	close(release)
	askers.Wait()
	if n := gateway.asked.Load(); n >= 50 {
		t.Errorf("the gateway was asked %d times", n)
	}
}

func TestOnlyThisMachineAndItsGuestsMayAsk(t *testing.T) {
	prefixes := func(all ...string) (parsed []netip.Prefix) {
		for _, p := range all {
			parsed = append(parsed, netip.MustParsePrefix(p))
		}
		return parsed
	}
	got := trustedRanges([]machineInterface{
		{"lo", prefixes("127.0.0.1/8")},
		{"eth0", prefixes("192.168.1.20/24", "fe80::1/64")},
		{"docker0", prefixes("172.17.0.1/16")},
		{"fairlead0", prefixes("198.19.0.3/32")},
	})
	want := prefixes("127.0.0.1/32", "192.168.1.20/32", "fe80::1/128", "172.17.0.0/16", "198.19.0.3/32")
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	trust := &trust{until: time.Now().Add(time.Hour), ranges: got}
	for address, want := range map[string]bool{
		"127.0.0.1": true, "::1": true, "192.168.1.20": true, "172.17.0.9": true, "192.168.1.21": false, "10.244.0.5": false,
	} {
		if trust.allows(netip.MustParseAddr(address)) != want {
			t.Errorf("%s: not %t", address, want)
		}
	}
}

// FuzzAnswer holds that every message gets an answer that can be sent, and that fits it.
func FuzzAnswer(f *testing.F) {
	for _, m := range []*dns.Msg{question("catalog.shop-a", dns.TypeA), question("1.0.97.10.in-addr.arpa", dns.TypePTR),
		question(strings.Repeat("a.", 120)+"svc", dns.TypeANY), new(dns.Msg)} {
		wire, err := m.SetEdns0(4096, true).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	r := &resolver{forwarder: newForwarder(), checks: newChecks(), upstreams: func() []netip.AddrPort { return nil }}
	r.rules.Store(&rules{zones: newZones(testConfig()), self: testConfig().Addresses[0]}) // no servers: nothing is sent
	_, end := r.checks.begin("fairlead-check.cluster.local")
	defer end()
	f.Fuzz(func(t *testing.T, wire []byte) {
		request := new(dns.Msg)
		if request.Unpack(wire) != nil {
			return
		}
		reply := r.answer(context.Background(), request)
		reply.Truncate(datagramSize(request))
		packed, err := reply.Pack()
		if err != nil {
			return // the library read a name that it can't write again
		}
		if reply.Id != request.Id || !reply.Response {
			t.Errorf("%v is no answer to %v", reply, request)
		}
		if len(packed) > dns.MaxMsgSize {
			t.Errorf("%d bytes", len(packed))
		}
	})
}

// A port that the kernel gives for UDP may be taken for TCP: another is looked for.
func TestAPortThatIsTakenIsNoFailure(t *testing.T) {
	// So many are taken that the search meets one now and then.
	for range 400 {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { taken.Close() })
	}
	for range 500 {
		l, err := listenOnFree([]netip.Addr{netip.MustParseAddr("127.0.0.1")}, &resolver{})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}
}

// A name of the cluster does not vanish because the gateway is late, or can't say, and the world does not know it.
func TestUnknownUpstreamIsNoProof(t *testing.T) {
	var late atomic.Bool
	gateway := serveNames(t, func(q dns.Question, _ bool) *dns.Msg {
		switch {
		case q.Name == "broken.dev.":
			return withCode(dns.RcodeServerFailure)
		case q.Name == "none.dev.":
			return withCode(dns.RcodeNameError)
		case !late.Swap(true):
			return nil
		}
		return withAddress(q.Name, "10.96.0.7")
	})
	upstream := serveNames(t, func(dns.Question, bool) *dns.Msg { return withCode(dns.RcodeNameError) })
	r := testResolver(gateway, upstream)
	for _, c := range []struct{ name, want string }{
		{"catalog.dev", "NOERROR 10.96.0.7"},
		{"catalog.dev", "NOERROR 10.96.0.7"}, // nor for the second that follows
		{"broken.dev", "SERVFAIL"},
		{"none.dev", "NXDOMAIN"},
	} {
		if got := outcome(r.answer(t.Context(), question(c.name, dns.TypeA))); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
