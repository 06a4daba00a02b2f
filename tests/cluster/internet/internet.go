// SPDX-License-Identifier: Apache-2.0

// Package internet is the world outside the test cluster: a DNS server that knows a few public names and a web server
// that answers for them, so that tests can tell that a laptop's own names and routes still work.
//
// It listens on the addresses it is given and must not look at anything else of the host it runs on.
package internet

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// Options say where to listen and what to answer.
type Options struct {
	// DNS are addresses to serve DNS on, port 53, UDP and TCP.
	DNS []netip.Addr
	// Web are addresses to serve HTTP on, port 80.
	Web []netip.Addr
	// Names has the addresses of each public name; names are lower case without a final dot.
	Names map[string][]netip.Addr
}

// Register makes options settable by flags.
func (o *Options) Register(flags *flag.FlagSet) {
	addresses := func(to *[]netip.Addr) func(string) error {
		return func(value string) error {
			list, err := parseAddresses(value)
			*to = list
			return err
		}
	}
	flags.Func("dns", "addresses to serve DNS on, separated by commas", addresses(&o.DNS))
	flags.Func("web", "addresses to serve HTTP on, separated by commas", addresses(&o.Web))
	flags.Func("name", "a public name, as www.example.com=203.0.113.80,2001:db8::80; repeat it for more", func(value string) error {
		name, list, found := strings.Cut(value, "=")
		if !found {
			return fmt.Errorf("want NAME=ADDRESSES, got %q", value)
		}
		addresses, err := parseAddresses(list)
		if err != nil {
			return err
		}
		if o.Names == nil {
			o.Names = map[string][]netip.Addr{}
		}
		o.Names[strings.ToLower(name)] = addresses
		return nil
	})
}

func parseAddresses(list string) ([]netip.Addr, error) {
	var addresses []netip.Addr
	for text := range strings.SplitSeq(list, ",") {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, address)
	}
	return addresses, nil
}

// Serve runs the servers until ctx is done or one of them fails.
func Serve(ctx context.Context, options Options) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, address := range options.DNS {
		for _, network := range []string{"udp", "tcp"} {
			server := &dns.Server{Addr: netip.AddrPortFrom(address, 53).String(), Net: network, Handler: options.handler()}
			group.Go(server.ListenAndServe)
			context.AfterFunc(ctx, func() { _ = server.Shutdown() })
		}
	}
	for _, address := range options.Web {
		server := &http.Server{
			Addr:              netip.AddrPortFrom(address, 80).String(),
			Handler:           http.HandlerFunc(public),
			ReadHeaderTimeout: 10 * time.Second,
		}
		group.Go(func() error {
			if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		context.AfterFunc(ctx, func() { _ = server.Close() })
	}
	return group.Wait()
}

// public answers every request, and tells the caller's address so that tests can see which way it came.
func public(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	fmt.Fprintf(w, "public %s to %s\n", r.Host, host)
}

// recordTTL is short, in seconds, so that a test that looks again asks again.
const recordTTL = 5

func (o Options) handler() dns.Handler {
	return dns.HandlerFunc(func(w dns.ResponseWriter, request *dns.Msg) {
		// A client that is gone needs no answer.
		_ = w.WriteMsg(o.answer(request))
	})
}

// answer replies with the addresses of a known name, no data for other types of it, and no such name for the rest.
func (o Options) answer(request *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(request)
	reply.Authoritative = true
	reply.RecursionAvailable = true
	if len(request.Question) != 1 {
		return reply.SetRcode(request, dns.RcodeFormatError)
	}
	question := request.Question[0]
	addresses, known := o.Names[strings.ToLower(strings.TrimSuffix(question.Name, "."))]
	if !known {
		reply.Rcode = dns.RcodeNameError
	}
	header := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET, Ttl: recordTTL}
	for _, address := range addresses {
		switch {
		case question.Qtype == dns.TypeA && address.Is4():
			reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: address.AsSlice()})
		case question.Qtype == dns.TypeAAAA && address.Is6():
			reply.Answer = append(reply.Answer, &dns.AAAA{Hdr: header, AAAA: address.AsSlice()})
		}
	}
	if len(reply.Answer) == 0 {
		reply.Ns = append(reply.Ns, &dns.SOA{
			Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: recordTTL},
			Ns:  "ns.example.com.", Mbox: "admin.example.com.", Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: recordTTL,
		})
	}
	return reply
}
