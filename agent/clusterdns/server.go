// SPDX-License-Identifier: Apache-2.0

package clusterdns

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

// maxAliases bounds how many CNAMEs are followed, as resolvers commonly do.
const maxAliases = 8

// Exchanger asks the cluster's DNS. An error means that no server gave an answer; what any of them says, SERVFAIL
// included, is an answer. It must obey ctx.
type Exchanger interface {
	Exchange(ctx context.Context, query *dns.Msg) (*dns.Msg, error)
}

// Server answers laptops. It is safe for concurrent use.
type Server struct {
	domain   string
	upstream Exchanger
	counters counters
}

// Stats counts answers since the start.
type Stats struct {
	Queries  uint64
	ByRcode  map[string]uint64 // such as NOERROR
	Failures uint64            // of the cluster's DNS to answer
}

type counters struct {
	queries, failures atomic.Uint64
	rcodes            [24]atomic.Uint64 // those of RFC 6895; BADVERS is 16
}

// NewServer makes a server for a cluster's DNS domain, without a final dot.
func NewServer(domain string, upstream Exchanger) *Server {
	return &Server{domain: domain, upstream: upstream}
}

// Stats returns the figures of the moment.
func (s *Server) Stats() Stats {
	stats := Stats{Queries: s.counters.queries.Load(), Failures: s.counters.failures.Load(), ByRcode: map[string]uint64{}}
	for rcode := range s.counters.rcodes {
		if n := s.counters.rcodes[rcode].Load(); n > 0 {
			stats.ByRcode[dns.RcodeToString[rcode]] = n
		}
	}
	return stats
}

// Answer answers one DNS message as who has the view would have it answered. tcp says that the answer may be of any
// size. It returns nil for what is not a question.
func (s *Server) Answer(ctx context.Context, view View, message []byte, tcp bool) []byte {
	query := new(dns.Msg)
	if err := query.Unpack(message); err != nil || query.Response {
		return nil
	}
	s.counters.queries.Add(1)
	reply, proper := refusal(query)
	if proper {
		reply = s.resolve(ctx, view, query)
	}
	if rcode := reply.Rcode; rcode < len(s.counters.rcodes) {
		s.counters.rcodes[rcode].Add(1)
	}
	packed, err := pack(query, reply, tcp)
	if err != nil {
		failure := new(dns.Msg)
		failure.SetRcode(query, dns.RcodeServerFailure)
		packed, _ = failure.Pack() // a question that was unpacked can be packed
	}
	return packed
}

// resolve finds the answer to a proper question.
func (s *Server) resolve(ctx context.Context, view View, query *dns.Msg) *dns.Msg {
	question := query.Question[0]
	candidates := Candidates(question.Name, view.Namespace, s.domain)
	switch {
	case isExact(query):
		candidates = []string{strings.ToLower(dns.Fqdn(question.Name))}
	case isReverse(question.Name):
		candidates = []string{question.Name}
		if address, ok := reverse(question.Name); ok {
			if real, err := dns.ReverseAddr(view.toReal(address).String()); err == nil {
				candidates = []string{real}
			}
		}
	}
	answers := s.askAll(ctx, candidates, question.Qtype)
	at := choose(answers)
	if at < 0 {
		reply := new(dns.Msg)
		return reply.SetRcode(query, dns.RcodeNameError)
	}
	if answers[at] == nil {
		s.counters.failures.Add(1)
		reply := new(dns.Msg)
		return reply.SetRcode(query, dns.RcodeServerFailure)
	}
	s.followAliases(ctx, answers[at], candidates[at], question.Qtype)
	return view.localize(query, answers[at], candidates[at])
}

// isExact reports whether a laptop asks for this very name in the cluster's DNS.
func isExact(query *dns.Msg) bool {
	opt := query.IsEdns0()
	return opt != nil && slices.ContainsFunc(opt.Option, func(o dns.EDNS0) bool { return o.Option() == carrier.DNSOptionExact })
}

// askAll asks for all names at once. What got no answer is nil.
func (s *Server) askAll(ctx context.Context, names []string, qtype uint16) []*dns.Msg {
	answers := make([]*dns.Msg, len(names))
	done := make(chan int, len(names))
	for i, name := range names {
		go func() {
			answers[i] = s.ask(ctx, name, qtype)
			done <- i
		}()
	}
	for range names {
		<-done
	}
	return answers
}

// ask returns the cluster's answer, or nil when there is none or it says that it could not find out.
func (s *Server) ask(ctx context.Context, name string, qtype uint16) *dns.Msg {
	query := new(dns.Msg)
	query.SetQuestion(name, qtype)
	query.SetEdns0(udpSize, false)
	answer, err := s.upstream.Exchange(ctx, query)
	if err != nil || answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
		return nil
	}
	return answer
}

// choose returns which of the answers for names in order of preference counts: the first whose name exists. An
// earlier name about which nothing could be found out counts too, as a failure, because it might exist. When no name
// exists it returns the last one, and -1 when there is none at all.
func choose(answers []*dns.Msg) int {
	for i, answer := range answers {
		if answer == nil || answer.Rcode == dns.RcodeSuccess {
			return i
		}
	}
	return len(answers) - 1
}

// followAliases completes an answer that ends in a CNAME, such as that of an ExternalName: its target is resolved in
// the cluster too, where it may have another address than outside.
func (s *Server) followAliases(ctx context.Context, answer *dns.Msg, name string, qtype uint16) {
	for range maxAliases {
		target, ok := unresolved(answer.Answer, name, qtype)
		if !ok {
			return
		}
		more := s.ask(ctx, target, qtype)
		if more == nil || len(more.Answer) == 0 {
			return
		}
		answer.Answer = append(answer.Answer, more.Answer...)
	}
}
