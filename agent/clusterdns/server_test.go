// SPDX-License-Identifier: Apache-2.0

package clusterdns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

// zone is the DNS of a cluster: records by name; a name with an empty list exists without data.
type zone struct {
	records map[string][]string
	silent  map[string]bool // names that get no answer
	rcode   map[string]int

	mu    sync.Mutex
	asked []string
}

func (z *zone) Exchange(ctx context.Context, query *dns.Msg) (*dns.Msg, error) {
	question := query.Question[0]
	name := strings.ToLower(question.Name)
	z.mu.Lock()
	z.asked = append(z.asked, name)
	z.mu.Unlock()
	if z.silent[name] {
		return nil, errors.New("i/o timeout")
	}
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.Rcode = z.rcode[name]
	soa, _ := dns.NewRR("cluster.local. 30 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 30")
	if name == "long.shop.svc.cluster.local." {
		for i := range 100 {
			record, _ := dns.NewRR(fmt.Sprintf("%s 30 IN A 10.1.0.%d", name, i))
			reply.Answer = append(reply.Answer, record)
		}
		return reply, nil
	}
	found, exists := z.records[name]
	for _, text := range found {
		record, err := dns.NewRR(text)
		if err != nil {
			return nil, err
		}
		if record.Header().Rrtype == question.Qtype || record.Header().Rrtype == dns.TypeCNAME {
			reply.Answer = append(reply.Answer, record)
		} else if record.Header().Rrtype == dns.TypeA && question.Qtype == dns.TypeSRV {
			reply.Extra = append(reply.Extra, record)
		}
	}
	if !exists && reply.Rcode == 0 {
		reply.Rcode = dns.RcodeNameError
	}
	if len(reply.Answer) == 0 {
		reply.Ns = []dns.RR{soa}
	}
	return reply, nil
}

func cluster() *zone {
	return &zone{
		records: map[string][]string{
			"catalog.shop.svc.cluster.local.":               {"catalog.shop.svc.cluster.local. 30 IN A 10.96.0.7"},
			"inventory-0.inventory.shop.svc.cluster.local.": {"inventory-0.inventory.shop.svc.cluster.local. 3 IN A 10.244.0.9"},
			"dual.shop.svc.cluster.local.": {
				"dual.shop.svc.cluster.local. 30 IN A 10.96.0.8", "dual.shop.svc.cluster.local. 30 IN AAAA fd00:10:96::8"},
			"docs.shop.svc.cluster.local.": {"docs.shop.svc.cluster.local. 30 IN CNAME www.example.com."},
			"www.example.com.":             {"www.example.com. 300 IN CNAME edge.example.net."},
			"edge.example.net.":            {"edge.example.net. 300 IN A 203.0.113.80"},
			"alias.shop.svc.cluster.local.": {
				"alias.shop.svc.cluster.local. 30 IN CNAME catalog.shop.svc.cluster.local.",
				"catalog.shop.svc.cluster.local. 30 IN A 10.96.0.7"},
			"loop.shop.svc.cluster.local.": {"loop.shop.svc.cluster.local. 30 IN CNAME loop.shop.svc.cluster.local."},
			"_http._tcp.catalog.shop.svc.cluster.local.": {
				"_http._tcp.catalog.shop.svc.cluster.local. 30 IN SRV 0 100 80 catalog.shop.svc.cluster.local.",
				"catalog.shop.svc.cluster.local. 30 IN A 10.96.0.7"},
			"7.0.96.10.in-addr.arpa.":            {"7.0.96.10.in-addr.arpa. 30 IN PTR catalog.shop.svc.cluster.local."},
			"dns-version.cluster.local.":         {`dns-version.cluster.local. 30 IN TXT "1.1.0"`},
			"catalog.web.svc.cluster.local.":     {"catalog.web.svc.cluster.local. 30 IN A 10.96.0.99"},
			"shadow.shop.web.svc.cluster.local.": {"shadow.shop.web.svc.cluster.local. 30 IN A 10.96.0.50"},
			"shadow.shop.svc.cluster.local.":     {"shadow.shop.svc.cluster.local. 30 IN A 10.96.0.51"},
		},
		silent: map[string]bool{"down.shop.svc.cluster.local.": true, "half.web.svc.cluster.local.": true},
		rcode:  map[string]int{"broken.shop.svc.cluster.local.": dns.RcodeServerFailure},
	}
}

func ask(t *testing.T, z *zone, view View, name string, qtype uint16) *dns.Msg {
	t.Helper()
	query := new(dns.Msg)
	query.SetQuestion(name, qtype)
	return exchange(t, z, view, query, false)
}

func exchange(t *testing.T, z *zone, view View, query *dns.Msg, tcp bool) *dns.Msg {
	t.Helper()
	packed, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	answer := NewServer("cluster.local", z).Answer(t.Context(), view, packed, tcp)
	reply := new(dns.Msg)
	if err := reply.Unpack(answer); err != nil {
		t.Fatalf("unpack answer: %v", err)
	}
	if reply.Id != query.Id || !reply.Response {
		t.Errorf("the answer is not one to the question: %v", reply.MsgHdr)
	}
	return reply
}

// text writes records without their white space.
func text(records []dns.RR) string {
	var lines []string
	for _, record := range records {
		if record.Header().Rrtype != dns.TypeOPT {
			lines = append(lines, strings.Join(strings.Fields(record.String()), " "))
		}
	}
	return strings.Join(lines, "\n")
}

func TestAnswers(t *testing.T) {
	shop, web := View{Namespace: "shop"}, View{Namespace: "web"}
	mapped := View{Namespace: "shop", Mappings: []Mapping{{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("172.29.0.0/16")}}}
	for _, test := range []struct {
		name  string
		view  View
		asked string
		qtype uint16
		rcode int
		want  string
	}{
		{"service of the namespace", shop, "catalog.", dns.TypeA, 0, "catalog. 5 IN A 10.96.0.7"},
		{"the namespace decides", web, "catalog.", dns.TypeA, 0, "catalog. 5 IN A 10.96.0.99"},
		{"service and namespace", web, "catalog.shop.", dns.TypeA, 0, "catalog.shop. 5 IN A 10.96.0.7"},
		{"with svc", web, "catalog.shop.svc.", dns.TypeA, 0, "catalog.shop.svc. 5 IN A 10.96.0.7"},
		{"fully qualified", web, "catalog.shop.svc.cluster.local.", dns.TypeA, 0, "catalog.shop.svc.cluster.local. 5 IN A 10.96.0.7"},
		{"case is kept", web, "CaTaLoG.Shop.", dns.TypeA, 0, "CaTaLoG.Shop. 5 IN A 10.96.0.7"},
		{"headless pod", shop, "inventory-0.inventory.", dns.TypeA, 0, "inventory-0.inventory. 3 IN A 10.244.0.9"},
		{"no IPv6", shop, "catalog.", dns.TypeAAAA, 0, ""},
		{"IPv6", shop, "dual.", dns.TypeAAAA, 0, "dual. 5 IN AAAA fd00:10:96::8"},
		{"text", shop, "dns-version.", dns.TypeTXT, 0, `dns-version. 5 IN TXT "1.1.0"`},
		{"alias inside", shop, "alias.", dns.TypeA, 0, "alias. 5 IN CNAME catalog.shop.svc.cluster.local.\ncatalog.shop.svc.cluster.local. 5 IN A 10.96.0.7"},
		{"external name", shop, "docs.", dns.TypeA, 0, "docs. 5 IN CNAME www.example.com.\nwww.example.com. 5 IN CNAME edge.example.net.\nedge.example.net. 5 IN A 203.0.113.80"},
		{"external name without IPv6", shop, "docs.", dns.TypeAAAA, 0, "docs. 5 IN CNAME www.example.com.\nwww.example.com. 5 IN CNAME edge.example.net."},
		{"the alias itself", shop, "docs.", dns.TypeCNAME, 0, "docs. 5 IN CNAME www.example.com."},
		{"service port", shop, "_http._tcp.catalog.", dns.TypeSRV, 0, "_http._tcp.catalog. 5 IN SRV 0 100 80 catalog.shop.svc.cluster.local."},
		{"address", shop, "7.0.96.10.in-addr.arpa.", dns.TypePTR, 0, "7.0.96.10.in-addr.arpa. 5 IN PTR catalog.shop.svc.cluster.local."},
		{"mapped", mapped, "catalog.", dns.TypeA, 0, "catalog. 5 IN A 172.29.0.7"},
		{"mapped, another range", mapped, "inventory-0.inventory.", dns.TypeA, 0, "inventory-0.inventory. 3 IN A 10.244.0.9"},
		{"mapped address", mapped, "7.0.29.172.in-addr.arpa.", dns.TypePTR, 0, "7.0.29.172.in-addr.arpa. 5 IN PTR catalog.shop.svc.cluster.local."},
		{"nearer name wins", web, "shadow.shop.", dns.TypeA, 0, "shadow.shop. 5 IN A 10.96.0.50"},
		{"unknown", shop, "nothing.", dns.TypeA, dns.RcodeNameError, ""},
		{"public name", shop, "www.example.com.", dns.TypeA, dns.RcodeNameError, ""},
		{"no answer", shop, "down.", dns.TypeA, dns.RcodeServerFailure, ""},
		{"no answer about a nearer name", web, "half.", dns.TypeA, dns.RcodeServerFailure, ""},
		{"failure", shop, "broken.", dns.TypeA, dns.RcodeServerFailure, ""},
		{"any", shop, "catalog.", dns.TypeANY, dns.RcodeNotImplemented, ""},
		{"zone transfer", shop, "cluster.local.", dns.TypeAXFR, dns.RcodeRefused, ""},
		{"alias to itself", shop, "loop.", dns.TypeA, 0, "loop. 5 IN CNAME loop.shop.svc.cluster.local."},
	} {
		t.Run(test.name, func(t *testing.T) {
			reply := ask(t, cluster(), test.view, test.asked, test.qtype)
			if reply.Rcode != test.rcode {
				t.Errorf("rcode %s, want %s", dns.RcodeToString[reply.Rcode], dns.RcodeToString[test.rcode])
			}
			got := text(reply.Answer)
			if test.name == "alias to itself" { // however often it was followed
				got, _, _ = strings.Cut(got, "\n")
			}
			if got != test.want {
				t.Errorf("answer\n%s\nwant\n%s", got, test.want)
			}
			if !strings.EqualFold(reply.Question[0].Name, test.asked) {
				t.Errorf("the question came back as %s", reply.Question[0].Name)
			}
		})
	}
}

func TestAdditionalRecordsAreMapped(t *testing.T) {
	view := View{Namespace: "shop", Mappings: []Mapping{{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("172.29.0.0/16")}}}
	reply := ask(t, cluster(), view, "_http._tcp.catalog.", dns.TypeSRV)
	if got, want := text(reply.Extra), "catalog.shop.svc.cluster.local. 5 IN A 172.29.0.7"; got != want {
		t.Errorf("additional records %q, want %q", got, want)
	}
}

// TestNamesThatAreAskedExactly: of a domain that the user has named, the cluster's DNS is asked for the name as it is.
func TestNamesThatAreAskedExactly(t *testing.T) {
	z := cluster()
	z.records["orders.db.example.net."] = []string{"orders.db.example.net. 60 IN A 10.96.0.61"}
	view := View{Namespace: "shop", Mappings: []Mapping{{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("172.29.0.0/16")}}}
	query := new(dns.Msg).SetQuestion("Orders.db.example.net.", dns.TypeA)
	query.SetEdns0(udpSize, false)
	query.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: carrier.DNSOptionExact}}
	if got, want := text(exchange(t, z, view, query, false).Answer), "Orders.db.example.net. 5 IN A 172.29.0.61"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !slices.Equal(z.asked, []string{"orders.db.example.net."}) {
		t.Errorf("the cluster's DNS was asked for %q", z.asked)
	}
}

func TestPublicNamesAreNotAsked(t *testing.T) {
	z := cluster()
	ask(t, z, View{Namespace: "shop"}, "www.example.com.", dns.TypeA)
	for _, name := range z.asked {
		if !strings.HasSuffix(name, ".cluster.local.") {
			t.Errorf("the cluster's DNS was asked for %s", name)
		}
	}
}

func TestNegativeAnswersAreShortLived(t *testing.T) {
	reply := ask(t, cluster(), View{Namespace: "shop"}, "nothing.shop.svc.cluster.local.", dns.TypeA)
	if len(reply.Ns) != 1 {
		t.Fatalf("authority %v, want one SOA", reply.Ns)
	}
	if soa := reply.Ns[0].(*dns.SOA); soa.Hdr.Ttl > 5 || soa.Minttl > 5 {
		t.Errorf("the answer may be kept for %d s", max(soa.Hdr.Ttl, soa.Minttl))
	}
	if reply := ask(t, cluster(), View{Namespace: "shop"}, "nothing.", dns.TypeA); len(reply.Ns) != 0 {
		t.Errorf("authority %v for a name that is not below it", reply.Ns)
	}
}

func TestTruncation(t *testing.T) {
	for _, test := range []struct {
		name      string
		edns      uint16
		tcp       bool
		atMost    int
		truncated bool
	}{
		{"plain", 0, false, 512, true},
		{"small EDNS size counts as 512", 100, false, 512, true},
		{"EDNS", 1000, false, 1000, true},
		{"large EDNS", 65535, false, 1232, true},
		{"TCP", 0, true, 65535, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			query := new(dns.Msg)
			query.SetQuestion("long.", dns.TypeA)
			if test.edns > 0 {
				query.SetEdns0(test.edns, false)
			}
			reply := exchange(t, cluster(), View{Namespace: "shop"}, query, test.tcp)
			reply.Compress = true
			packed, err := reply.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if len(packed) > test.atMost || reply.Truncated != test.truncated {
				t.Errorf("%d bytes, truncated %v; want at most %d, %v", len(packed), reply.Truncated, test.atMost, test.truncated)
			}
			if !test.truncated && len(reply.Answer) != 100 {
				t.Errorf("%d records, want 100", len(reply.Answer))
			}
			if (reply.IsEdns0() != nil) != (test.edns > 0) {
				t.Error("EDNS is answered where it was not asked with, or the other way round")
			}
		})
	}
}

func TestOddQuestions(t *testing.T) {
	question := dns.Question{Name: "catalog.", Qtype: dns.TypeA, Qclass: dns.ClassINET}
	for name, test := range map[string]struct {
		change func(*dns.Msg)
		rcode  int
	}{
		"update":        {func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, dns.RcodeNotImplemented},
		"no question":   {func(m *dns.Msg) { m.Question = nil }, dns.RcodeFormatError},
		"two questions": {func(m *dns.Msg) { m.Question = []dns.Question{question, question} }, dns.RcodeFormatError},
		"class":         {func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeRefused},
		"EDNS version": {func(m *dns.Msg) {
			m.SetEdns0(1232, false)
			m.IsEdns0().SetVersion(1)
		}, dns.RcodeBadVers},
	} {
		t.Run(name, func(t *testing.T) {
			query := new(dns.Msg)
			query.SetQuestion("catalog.", dns.TypeA)
			test.change(query)
			if reply := exchange(t, cluster(), View{Namespace: "shop"}, query, false); reply.Rcode != test.rcode {
				t.Errorf("rcode %d, want %d", reply.Rcode, test.rcode)
			}
		})
	}
}

func TestWhatIsNoQuestionGetsNoAnswer(t *testing.T) {
	server := NewServer("cluster.local", cluster())
	response := new(dns.Msg)
	response.SetQuestion("catalog.", dns.TypeA)
	response.Response = true
	packed, err := response.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range [][]byte{nil, {1, 2, 3}, packed, packed[:12]} {
		if answer := server.Answer(t.Context(), View{}, message, false); answer != nil {
			t.Errorf("%x is answered with %x", message, answer)
		}
	}
}

func TestStatsCount(t *testing.T) {
	server := NewServer("cluster.local", cluster())
	for _, name := range []string{"catalog.", "nothing.", "down."} {
		query := new(dns.Msg)
		query.SetQuestion(name, dns.TypeA)
		packed, _ := query.Pack()
		server.Answer(t.Context(), View{Namespace: "shop"}, packed, false)
	}
	stats := server.Stats()
	if stats.Queries != 3 || stats.Failures != 1 || stats.ByRcode["NOERROR"] != 1 || stats.ByRcode["NXDOMAIN"] != 1 || stats.ByRcode["SERVFAIL"] != 1 {
		t.Errorf("stats %+v", stats)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"catalog.", "docs.", "7.0.29.172.in-addr.arpa.", "long.", "_http._tcp.catalog."} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeSRV, dns.TypeANY} {
			query := new(dns.Msg)
			query.SetQuestion(name, qtype)
			if qtype == dns.TypeAAAA {
				query.SetEdns0(1232, true)
			}
			packed, err := query.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(packed, false)
			f.Add(packed, true)
		}
	}
	f.Add([]byte{}, false)
	view := View{Namespace: "shop", Mappings: []Mapping{{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("172.29.0.0/16")}}}
	f.Fuzz(func(t *testing.T, message []byte, tcp bool) {
		answer := NewServer("cluster.local", cluster()).Answer(context.Background(), view, message, tcp)
		if answer == nil {
			return
		}
		reply := new(dns.Msg)
		if err := reply.Unpack(answer); err != nil {
			t.Fatalf("%x is answered with %x, which can't be read: %v", message, answer, err)
		}
		if !reply.Response || !slices.Equal(answer[:2], message[:2]) {
			t.Errorf("%x is answered with %x, which is no answer to it", message, answer)
		}
		if !tcp && len(answer) > udpSize {
			t.Errorf("an answer by UDP has %d bytes", len(answer))
		}
	})
}
