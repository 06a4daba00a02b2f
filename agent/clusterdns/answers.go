// SPDX-License-Identifier: Apache-2.0

package clusterdns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

const (
	// maxTTL is how long laptops may keep an answer, in seconds: as long as CoreDNS lets pods.
	maxTTL = 5

	// udpSize is the largest answer that is sent by UDP, in bytes: it fits the smallest MTU of a tunnel, 1280, with
	// IPv6 and UDP headers (DNS flag day 2020).
	udpSize = 1232

	// minUDPSize is what every client takes (RFC 1035, section 4.2.1).
	minUDPSize = 512
)

// localize makes of an upstream's answer to candidate the answer to asked: records of the candidate get the name that
// was asked, addresses become those that the laptop reaches, and nothing is kept for longer than maxTTL. Chains of
// CNAMEs stay as they are. upstream is used up.
func (v View) localize(query, upstream *dns.Msg, candidate string) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.Rcode = upstream.Rcode
	reply.RecursionAvailable = true
	asked := query.Question[0].Name
	reply.Answer = v.localizeRecords(upstream.Answer, candidate, asked)
	reply.Extra = v.localizeRecords(upstream.Extra, candidate, asked)
	for _, record := range v.localizeRecords(upstream.Ns, candidate, asked) {
		// An authority that is not above the name that was asked would only confuse.
		if dns.IsSubDomain(record.Header().Name, asked) {
			reply.Ns = append(reply.Ns, record)
		}
	}
	return reply
}

func (v View) localizeRecords(records []dns.RR, candidate, asked string) []dns.RR {
	var kept []dns.RR
	for _, record := range records {
		header := record.Header()
		if header.Rrtype == dns.TypeOPT {
			continue
		}
		header.Ttl = min(header.Ttl, maxTTL)
		if strings.EqualFold(header.Name, candidate) {
			header.Name = asked
		}
		switch r := record.(type) {
		case *dns.A:
			if address, ok := netip.AddrFromSlice(r.A); ok {
				r.A = v.toMapped(address.Unmap()).AsSlice()
			}
		case *dns.AAAA:
			if address, ok := netip.AddrFromSlice(r.AAAA); ok && address.Is6() && !address.Is4In6() {
				r.AAAA = v.toMapped(address).AsSlice()
			}
		case *dns.SOA:
			r.Minttl = min(r.Minttl, maxTTL)
		}
		kept = append(kept, record)
	}
	return kept
}

// refusal returns the answer to a question that is not passed on; proper says that it is one to pass on instead.
func refusal(query *dns.Msg) (reply *dns.Msg, proper bool) {
	rcode := dns.RcodeSuccess
	switch {
	case query.Opcode != dns.OpcodeQuery:
		rcode = dns.RcodeNotImplemented
	case len(query.Question) != 1:
		rcode = dns.RcodeFormatError
	case query.Question[0].Qclass != dns.ClassINET:
		rcode = dns.RcodeRefused
	case query.Question[0].Qtype == dns.TypeAXFR || query.Question[0].Qtype == dns.TypeIXFR:
		rcode = dns.RcodeRefused
	case query.Question[0].Qtype == dns.TypeANY:
		rcode = dns.RcodeNotImplemented // RFC 8482 lets servers decline
	case query.IsEdns0() != nil && query.IsEdns0().Version() != 0:
		rcode = dns.RcodeBadVers
	default:
		return nil, true
	}
	reply = new(dns.Msg)
	reply.SetRcode(query, rcode)
	return reply, false
}

// pack finishes a reply: what the client can take is honoured, and what does not fit is cut with the truncation bit
// set, so that the client asks again by TCP.
func pack(query, reply *dns.Msg, tcp bool) ([]byte, error) {
	size := minUDPSize
	if options := query.IsEdns0(); options != nil {
		size = min(max(size, int(options.UDPSize())), udpSize)
		reply.SetEdns0(udpSize, options.Do())
		if reply.Rcode == dns.RcodeBadVers {
			reply.IsEdns0().SetExtendedRcode(dns.RcodeBadVers)
		}
	} else if reply.Rcode > 0xf {
		reply.Rcode = dns.RcodeServerFailure
	}
	if tcp {
		size = dns.MaxMsgSize
	}
	reply.Compress = true
	reply.Truncate(size)
	return reply.Pack()
}

// unresolved returns the last name of an answer's chain of CNAMEs if nothing of the wanted type is there for it.
func unresolved(answer []dns.RR, name string, qtype uint16) (string, bool) {
	if qtype != dns.TypeA && qtype != dns.TypeAAAA {
		return "", false
	}
	for range len(answer) + 1 {
		next := ""
		for _, record := range answer {
			if !strings.EqualFold(record.Header().Name, name) {
				continue
			}
			if record.Header().Rrtype == qtype {
				return "", false
			}
			if alias, ok := record.(*dns.CNAME); ok {
				next = alias.Target
			}
		}
		if next == "" {
			break
		}
		name = next
	}
	// A name without any CNAME leading to it is simply without data.
	for _, record := range answer {
		if alias, ok := record.(*dns.CNAME); ok && strings.EqualFold(alias.Target, name) {
			return name, true
		}
	}
	return "", false
}
