// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"flag"
	"testing"

	"github.com/miekg/dns"
)

func TestAnswer(t *testing.T) {
	var options Options
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	options.Register(flags)
	if err := flags.Parse([]string{"--name", "www.Example.com=203.0.113.80,2001:db8::80", "--name", "catalog.dev=203.0.113.81"}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		qtype uint16
		rcode int
		want  string
	}{
		{"www.example.com.", dns.TypeA, dns.RcodeSuccess, "203.0.113.80"},
		{"WWW.example.com.", dns.TypeAAAA, dns.RcodeSuccess, "2001:db8::80"},
		{"catalog.dev.", dns.TypeAAAA, dns.RcodeSuccess, ""},
		{"catalog.shop.", dns.TypeA, dns.RcodeNameError, ""},
	} {
		reply := options.answer(new(dns.Msg).SetQuestion(test.name, test.qtype))
		got := ""
		for _, record := range reply.Answer {
			switch record := record.(type) {
			case *dns.A:
				got = record.A.String()
			case *dns.AAAA:
				got = record.AAAA.String()
			}
		}
		if reply.Rcode != test.rcode || got != test.want {
			t.Errorf("%s %s: got %s %q, want %s %q", test.name, dns.TypeToString[test.qtype],
				dns.RcodeToString[reply.Rcode], got, dns.RcodeToString[test.rcode], test.want)
		}
	}
}
