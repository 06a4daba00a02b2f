// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// dnsPort is the port of name servers (RFC 1035).
const dnsPort = 53

// answerTimeout bounds the work on one question: below the 5 s after which clients ask again.
const answerTimeout = 4500 * time.Millisecond

// resolver answers questions by the rules of zones. It is safe for concurrent use.
type resolver struct {
	forwarder *forwarder
	rules     atomic.Pointer[rules]
	// upstreams are the name servers that the machine had before, or nil where there are none to ask.
	upstreams func() []netip.AddrPort
	checks    *checks
}

// rules are what changes together.
type rules struct {
	zones   zones
	gateway []netip.AddrPort
	self    netip.Addr // what a check is answered with
}

// answer works out the answer to a question. It always returns one.
func (r *resolver) answer(ctx context.Context, request *dns.Msg) *dns.Msg {
	if request.Response || request.Opcode != dns.OpcodeQuery || len(request.Question) != 1 {
		return failure(request, dns.RcodeFormatError)
	}
	question := request.Question[0]
	if question.Qtype == dns.TypeAXFR || question.Qtype == dns.TypeIXFR || question.Qclass != dns.ClassINET {
		return failure(request, dns.RcodeRefused)
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	rules := r.rules.Load()
	if r.checks.arrived(question.Name) {
		return checkAnswer(request, rules.self)
	}
	switch rules.zones.classify(question.Name) {
	case toSelf:
		return failure(request, dns.RcodeNameError)
	case toGateway:
		return r.forward(ctx, request, "gateway", rules.gateway, gatewayTries)
	case toGatewayExact:
		return r.forward(ctx, request, gatewayExact, rules.gateway, gatewayTries)
	case toGatewayFirst:
		return r.gatewayFirst(ctx, request, rules)
	default:
		return r.forward(ctx, request, "upstream", r.upstreams(), upstreamTries)
	}
}

// gatewayFirst asks the cluster, and upstream if the cluster has no such name or can't say soon. What neither knows does
// not exist only if the cluster said so: a gateway that is late must not make its names vanish.
func (r *resolver) gatewayFirst(ctx context.Context, request *dns.Msg, rules *rules) *dns.Msg {
	answer := r.forward(ctx, request, "gateway, first", rules.gateway, gatewayTries[:1])
	if answer.Rcode == dns.RcodeSuccess {
		return answer
	}
	var upstream *dns.Msg
	if servers := r.upstreams(); len(servers) > 0 {
		upstream = r.forward(ctx, request, "upstream", servers, upstreamTries)
	}
	switch {
	case upstream != nil && (answer.Rcode == dns.RcodeNameError || upstream.Rcode == dns.RcodeSuccess):
		return upstream
	case answer.Rcode == dns.RcodeNameError:
		return answer
	}
	return r.forward(ctx, request, "gateway", rules.gateway, gatewayTries[1:])
}

func (r *resolver) forward(ctx context.Context, request *dns.Msg, purpose string, servers []netip.AddrPort, tries []time.Duration) *dns.Msg {
	answer, err := r.forwarder.ask(ctx, purpose, request, servers, tries)
	switch {
	case errors.Is(err, errBusy):
		return failure(request, dns.RcodeRefused)
	case err != nil:
		return failure(request, dns.RcodeServerFailure)
	}
	return addressed(answer, request)
}

// addressed returns a copy of an answer that fits a request: its id, its question, and EDNS only if it had it.
func addressed(answer, request *dns.Msg) *dns.Msg {
	reply := answer.Copy()
	reply.Id = request.Id
	reply.Response = true
	reply.Opcode = dns.OpcodeQuery
	reply.RecursionDesired = request.RecursionDesired
	reply.RecursionAvailable = true
	reply.Question = request.Question
	reply.Extra = withoutOPT(reply.Extra)
	if opt := request.IsEdns0(); opt != nil {
		reply.SetEdns0(udpSize, opt.Do())
	}
	// Names of the answer are spelled as the question was: some clients compare letter by letter.
	asked := request.Question[0].Name
	for _, record := range reply.Answer {
		if strings.EqualFold(record.Header().Name, asked) {
			record.Header().Name = asked
		}
	}
	return reply
}

func withoutOPT(records []dns.RR) []dns.RR {
	var kept []dns.RR
	for _, record := range records {
		if record.Header().Rrtype != dns.TypeOPT {
			kept = append(kept, record)
		}
	}
	return kept
}

func failure(request *dns.Msg, code int) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetRcode(request, code)
	reply.RecursionAvailable = true
	return reply
}

// checkAnswer says to whoever asked that the question arrived here.
func checkAnswer(request *dns.Msg, self netip.Addr) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(request)
	reply.RecursionAvailable = true
	header := dns.RR_Header{Name: request.Question[0].Name, Class: dns.ClassINET, Ttl: 0}
	switch qtype := request.Question[0].Qtype; {
	case qtype == dns.TypeA && self.Is4():
		header.Rrtype = dns.TypeA
		reply.Answer = []dns.RR{&dns.A{Hdr: header, A: self.AsSlice()}}
	case qtype == dns.TypeAAAA && self.Is6():
		header.Rrtype = dns.TypeAAAA
		reply.Answer = []dns.RR{&dns.AAAA{Hdr: header, AAAA: self.AsSlice()}}
	}
	return reply
}
