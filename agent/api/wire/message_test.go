// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func text(s string) *string { return &s }

// samples are one full value of each message.
func samples() []any {
	address := netip.MustParseAddr("10.244.0.7")
	return []any{
		&Hello{Version: Version, Purpose: PurposeControl, Program: "0.1.0", PodUID: "u-1", Container: "fairlead-1", Credential: "c"},
		&Hello{Version: Version, Purpose: PurposeFlow, Container: "fairlead-1", Token: "a.b.c"},
		&Welcome{PodUID: "u-1"},
		&Welcome{Error: "no", Final: true},
		&Open{
			Intercept: "i-1", Port: 8080, Protocol: "TCP", Client: netip.MustParseAddrPort("[fd00::9]:4711"),
			Target: netip.AddrPortFrom(address, 8080), Pod: "api-1", Kind: FlowHTTP,
		},
		&Open{Intercept: "i-1", Port: 53, Protocol: "UDP", Kind: FlowProbe},
		&Answer{Result: NobodyListens, Detail: "nothing listens", Local: "127.0.0.1:3000"},
		&Order{Revision: 7, Unchanged: true},
		&Order{
			Revision: 1 << 60, Linger: 60, PodAddresses: []netip.Addr{address}, NodeAddresses: []netip.Addr{netip.MustParseAddr("fd00::1")},
			Ports: []PortOrder{{
				Port: 8080, Protocol: "TCP", Listen: 18080, Takeover: "Gentle", Speaks: "h2c", Probes: []Probe{{Kind: "http", Path: "/healthz"}},
				Rules: []Rule{
					{Intercept: "i-1", Match: &Match{Key: "ana", Headers: []HeaderMatch{{"X-User", ValueMatch{Prefix: text("a")}}}, Path: &ValueMatch{Regex: text("/v[12]/.*")}}, Suspended: true},
					{Intercept: "i-2", Mirror: true, Match: &Match{Path: &ValueMatch{Exact: text("")}}},
				},
			}, {Port: 8080, Protocol: "UDP", Rules: []Rule{{Intercept: "i-3"}}}},
		},
		&Report{
			Revision: 7, Open: 3, Ports: []PortReport{{Port: 8080, Protocol: "TCP", Redirected: true, AppListens: true, Bypassing: 2, Problem: "none"}},
			Rules: []InterceptReport{
				{Intercept: "i-1", Port: 8080, Protocol: "TCP", Probe: Answer{Result: Accepted}, ProbedAt: time.Unix(1, 0).UTC(), Matched: 1, Passed: 2, FallenBack: 3, Unreadable: 4},
				{Intercept: "i-2", Port: 53, Protocol: "UDP"},
			},
			Requests: []Request{{Intercept: "i-1", At: time.Unix(2, 0).UTC(), Method: "GET", Path: "/", Status: 200, Duration: time.Second, To: "laptop", Reason: "it matched"}},
		},
	}
}

// validate checks a message that can be.
func validate(message any) error {
	if v, ok := message.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

func TestMessagesComeThrough(t *testing.T) {
	var stream bytes.Buffer
	for _, message := range samples() {
		if err := validate(message); err != nil {
			t.Errorf("%+v is not valid: %v", message, err)
		}
		if err := WriteMessage(&stream, message, MaxOpen); err != nil {
			t.Fatal(err)
		}
	}
	reader := iotest.OneByteReader(&stream)
	for _, message := range samples() {
		got := reflect.New(reflect.TypeOf(message).Elem()).Interface()
		if err := ReadMessage(reader, got, MaxOpen); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, message) {
			t.Errorf("got %+v, want %+v", got, message)
		}
	}
	if err := ReadMessage(reader, new(Order), MaxOpen); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestMessagesThatAreRefused(t *testing.T) {
	for name, stream := range map[string]string{
		"cut length":     "\x00\x00",
		"cut body":       "\x00\x00\x00\x05{}",
		"too long":       "\x00\x00\x20\x01{}",
		"absurdly long":  "\xff\xff\xff\xff{}",
		"empty":          "\x00\x00\x00\x00",
		"not JSON":       "\x00\x00\x00\x02xx",
		"wrong type":     "\x00\x00\x00\x02[]",
		"a port too big": "\x00\x00\x00\x0e{\"port\":70000}",
	} {
		if err := ReadMessage(strings.NewReader(stream), new(Open), MaxOpen); err == nil || err == io.EOF {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if err := WriteMessage(io.Discard, Welcome{Error: strings.Repeat("x", MaxOpen)}, MaxOpen); err == nil {
		t.Error("a message that is too long is written")
	}
	if err := WriteMessage(writerFunc(func([]byte) (int, error) { return 0, io.ErrClosedPipe }), Welcome{}, MaxOpen); err == nil {
		t.Error("a failed write is no error")
	}
}

// Each message is one write: over TLS one record, and for the network one packet.
func TestMessagesAreWrittenAtOnce(t *testing.T) {
	var writes int
	count := writerFunc(func(b []byte) (int, error) { writes++; return len(b), nil })
	if err := WriteMessage(count, samples()[0], MaxOpen); err != nil || writes != 1 {
		t.Errorf("%d writes, %v", writes, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestValidateRefuses(t *testing.T) {
	long := strings.Repeat("x", 10<<10)
	hello := func(change func(*Hello)) *Hello { h := *samples()[0].(*Hello); change(&h); return &h }
	open := func(change func(*Open)) *Open { o := *samples()[4].(*Open); change(&o); return &o }
	order := func(change func(*Order)) *Order { o := samples()[8].(*Order); change(o); return o }
	report := func(change func(*Report)) *Report { r := samples()[9].(*Report); change(r); return r }
	for name, message := range map[string]any{
		"hello: no purpose":           hello(func(h *Hello) { h.Purpose = "" }),
		"hello: no container":         hello(func(h *Hello) { h.Container = "" }),
		"hello: no proof":             hello(func(h *Hello) { h.Credential = "" }),
		"hello: two proofs":           hello(func(h *Hello) { h.Token = "x" }),
		"hello: credential of nobody": hello(func(h *Hello) { h.PodUID = "" }),
		"hello: long name":            hello(func(h *Hello) { h.Container = long }),
		"hello: long credential":      hello(func(h *Hello) { h.Credential = long }),
		"hello: line break":           hello(func(h *Hello) { h.Program = "1\n2" }),
		"hello: not UTF-8":            hello(func(h *Hello) { h.Program = "\xff" }),
		"open: no intercept":          open(func(o *Open) { o.Intercept = "" }),
		"open: no port":               open(func(o *Open) { o.Port = 0 }),
		"open: no protocol":           open(func(o *Open) { o.Protocol = "" }),
		"open: HTTP over UDP":         open(func(o *Open) { o.Protocol = "UDP" }),
		"open: no client":             open(func(o *Open) { o.Client = netip.AddrPort{} }),
		"open: unknown kind":          open(func(o *Open) { o.Kind = "shell" }),
		"open: long intercept":        open(func(o *Open) { o.Intercept = long }),
		"answer: no result":           &Answer{},
		"answer: unknown result":      &Answer{Result: Result(long)},
		"answer: long detail":         &Answer{Result: Accepted, Detail: long},
		"answer: escape in local":     &Answer{Result: Accepted, Local: "\x1b[2J"},
		"order: negative linger":      order(func(o *Order) { o.Linger = -1 }),
		"order: empty address":        order(func(o *Order) { o.PodAddresses[0] = netip.Addr{} }),
		"order: many ports":           order(func(o *Order) { o.Ports = make([]PortOrder, 1000) }),
		"order: port twice":           order(func(o *Order) { o.Ports[1].Protocol = "TCP" }),
		"order: port 0":               order(func(o *Order) { o.Ports[0].Port = 0 }),
		"order: unknown takeover":     order(func(o *Order) { o.Ports[0].Takeover = "gentle" }),
		"order: unknown protocol":     order(func(o *Order) { o.Ports[0].Speaks = "smtp" }),
		"order: unknown probe":        order(func(o *Order) { o.Ports[0].Probes[0].Kind = "exec" }),
		"order: many rules":           order(func(o *Order) { o.Ports[0].Rules = make([]Rule, 1000) }),
		"order: rule of nobody":       order(func(o *Order) { o.Ports[0].Rules[0].Intercept = "" }),
		"order: rule of a long name":  order(func(o *Order) { o.Ports[0].Rules[0].Intercept = long }),
		"order: empty match":          order(func(o *Order) { o.Ports[0].Rules[0].Match = &Match{} }),
		"order: many headers":         order(func(o *Order) { o.Ports[0].Rules[0].Match.Headers = make([]HeaderMatch, 1000) }),
		"order: long key":             order(func(o *Order) { o.Ports[0].Rules[0].Match.Key = long }),
		"order: header without name":  order(func(o *Order) { o.Ports[0].Rules[0].Match.Headers[0].Name = "" }),
		"order: two conditions":       order(func(o *Order) { o.Ports[0].Rules[0].Match.Headers[0].Exact = text("x") }),
		"order: no condition":         order(func(o *Order) { o.Ports[0].Rules[0].Match.Path.Regex = nil }),
		"order: long pattern":         order(func(o *Order) { o.Ports[0].Rules[0].Match.Path.Regex = &long }),
		"report: port 0":              report(func(r *Report) { r.Ports[0].Port = 0 }),
		"report: negative number":     report(func(r *Report) { r.Ports[0].Bypassing = -1 }),
		"report: negative open":       report(func(r *Report) { r.Open = -1 }),
		"report: long problem":        report(func(r *Report) { r.Ports[0].Problem = long }),
		"report: many requests":       report(func(r *Report) { r.Requests = make([]Request, MaxRequests+1) }),
		"report: negative count":      report(func(r *Report) { r.Rules[0].Matched = -1 }),
		"report: unknown answer":      report(func(r *Report) { r.Rules[0].Probe.Result = ""; r.Rules[0].Probe.Detail = "x" }),
		"report: long intercept":      report(func(r *Report) { r.Rules[0].Intercept = long }),
		"report: rule of port 0":      report(func(r *Report) { r.Rules[0].Port = 0 }),
		"request: control character":  &Request{Path: "/\x00"},
		"request: long path":          &Request{Path: long},
		"request: long method":        &Request{Method: long},
	} {
		err := validate(message)
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if len(err.Error()) > 300 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

// fuzz reads a message, and one that is valid is written and read again.
func fuzz[T any](f *testing.F, limit int) {
	for _, message := range samples() {
		if _, ok := message.(*T); !ok {
			continue
		}
		var seed bytes.Buffer
		if err := WriteMessage(&seed, message, limit); err != nil {
			f.Fatal(err)
		}
		f.Add(seed.Bytes())
	}
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		reader := bytes.NewReader(stream)
		message := new(T)
		if ReadMessage(reader, message, limit) != nil {
			return
		}
		if rest := reader.Len(); len(stream)-rest > limit+4 {
			t.Fatalf("%d bytes were read", len(stream)-rest)
		}
		if validate(message) != nil {
			return
		}
		once, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		again := new(T)
		if err := json.Unmarshal(once, again); err != nil {
			t.Fatal(err)
		}
		if twice, err := json.Marshal(again); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s becomes %s, %v", once, twice, err)
		}
	})
}

func FuzzReadMessage(f *testing.F) { fuzz[any](f, MaxMessage) }
func FuzzHello(f *testing.F)       { fuzz[Hello](f, MaxOpen) }
func FuzzWelcome(f *testing.F)     { fuzz[Welcome](f, MaxOpen) }
func FuzzOpen(f *testing.F)        { fuzz[Open](f, MaxOpen) }
func FuzzAnswer(f *testing.F)      { fuzz[Answer](f, MaxOpen) }
func FuzzOrder(f *testing.F)       { fuzz[Order](f, MaxMessage) }
func FuzzReport(f *testing.F)      { fuzz[Report](f, MaxMessage) }
