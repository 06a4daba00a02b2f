// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// lookup resolves a name as a stub resolver with these servers does: in order, until one answers. It asks for IPv4
// and then for IPv6 addresses, and remembers nothing.
func lookup(ctx context.Context, name string, servers []netip.AddrPort) ([]netip.Addr, error) {
	if len(servers) == 0 {
		return nil, errNoServers
	}
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		message := new(dns.Msg)
		message.SetQuestion(dns.Fqdn(name), qtype)
		answer, err := lookupOnce(ctx, message, servers)
		if err != nil {
			return nil, err
		}
		if answer.Rcode != dns.RcodeSuccess {
			return nil, fmt.Errorf("it answered %s", dns.RcodeToString[answer.Rcode])
		}
		if found := addressesOf(answer); len(found) > 0 {
			return found, nil
		}
	}
	return nil, errors.New("it answered that the name has no address")
}

func lookupOnce(ctx context.Context, message *dns.Msg, servers []netip.AddrPort) (*dns.Msg, error) {
	var errs []error
	for _, server := range servers {
		client := dns.Client{Timeout: 500 * time.Millisecond}
		answer, _, err := client.ExchangeContext(ctx, message, server.String())
		if err == nil {
			return answer, nil
		}
		errs = append(errs, fmt.Errorf("ask %s: %w", server, err))
	}
	return nil, errors.Join(errs...)
}

func addressesOf(answer *dns.Msg) []netip.Addr {
	var found []netip.Addr
	for _, record := range answer.Answer {
		var raw []byte
		switch record := record.(type) {
		case *dns.A:
			raw = record.A
		case *dns.AAAA:
			raw = record.AAAA
		}
		if address, ok := netip.AddrFromSlice(raw); ok {
			found = append(found, address.Unmap())
		}
	}
	return found
}
