// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const (
	goodKey = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
	session = "0123456789abcdef0123456789abcdef"
)

func goodTunnel() Tunnel {
	return Tunnel{
		Addresses: addresses("198.19.0.3", "fd00:f1::3"),
		Peer: Peer{
			PublicKey: goodKey,
			Addresses: addresses("198.19.0.2", "fd00:f1::2"),
			UDP:       []netip.AddrPort{netip.MustParseAddrPort("203.0.113.7:51820"), netip.MustParseAddrPort("[2001:db8::7]:51820")},
		},
		Routes:       prefixes("10.96.0.0/12", "10.244.0.0/16", "fd00:10::/48"),
		Exempt:       addresses("203.0.113.7", "10.100.0.1"),
		DNS:          &DNS{ClusterDomain: "cluster.local", Namespace: "shop", Namespaces: []string{"shop", "dev"}, Domains: []string{"db.example.com", "corp.internal"}, Exclude: []string{"web.dev", "printer"}},
		InboundPorts: []uint16{40001},
		Carrier:      CarrierUDP,
	}
}

func TestGoodTunnelIsAccepted(t *testing.T) {
	tunnel := goodTunnel()
	if err := (&UpRequest{Session: session, Tunnel: tunnel}).Validate(); err != nil {
		t.Error(err)
	}
	tunnel.DNS, tunnel.Exempt, tunnel.InboundPorts, tunnel.Routes, tunnel.Carrier = nil, nil, nil, nil, CarrierNone
	if err := tunnel.Validate(); err != nil {
		t.Errorf("with the least: %v", err)
	}
}

func TestBadTunnelsAreRefused(t *testing.T) {
	many := func(n int, make func(int) string) (all []string) {
		for i := range n {
			all = append(all, make(i))
		}
		return all
	}
	for name, c := range map[string]struct {
		change func(*Tunnel)
		code   Code
	}{
		"no address":              {func(t *Tunnel) { t.Addresses = nil }, CodeBadRequest},
		"public tunnel address":   {func(t *Tunnel) { t.Addresses = addresses("8.8.8.8") }, CodeBadRequest},
		"loopback tunnel address": {func(t *Tunnel) { t.Addresses = addresses("127.0.0.1") }, CodeBadRequest},
		"two IPv4 addresses":      {func(t *Tunnel) { t.Addresses = addresses("198.19.0.3", "198.19.0.5") }, CodeBadRequest},
		"address with zone":       {func(t *Tunnel) { t.Addresses = addresses("fd00::1%eth0") }, CodeBadRequest},
		"no gateway address":      {func(t *Tunnel) { t.Peer.Addresses = nil }, CodeBadRequest},
		"public gateway address":  {func(t *Tunnel) { t.Peer.Addresses = addresses("1.1.1.1") }, CodeBadRequest},
		"short key":               {func(t *Tunnel) { t.Peer.PublicKey = "AQID" }, CodeBadRequest},
		"key of zeros":            {func(t *Tunnel) { t.Peer.PublicKey = strings.Repeat("A", 43) + "=" }, CodeBadRequest},
		"key with trailing bits":  {func(t *Tunnel) { t.Peer.PublicKey = goodKey[:42] + "B=" }, CodeBadRequest},
		"endpoint without port":   {func(t *Tunnel) { t.Peer.UDP[0] = netip.MustParseAddrPort("203.0.113.7:0") }, CodeBadRequest},
		"multicast endpoint":      {func(t *Tunnel) { t.Peer.UDP[0] = netip.MustParseAddrPort("224.0.0.1:53") }, CodeBadRequest},
		"zero endpoint":           {func(t *Tunnel) { t.Peer.UDP[0] = netip.AddrPort{} }, CodeBadRequest},
		"too many endpoints":      {func(t *Tunnel) { t.Peer.UDP = make([]netip.AddrPort, MaxEndpoints+1) }, CodeBadRequest},
		"default route":           {func(t *Tunnel) { t.Routes = prefixes("0.0.0.0/0") }, CodeRouteRefused},
		"default route, IPv6":     {func(t *Tunnel) { t.Routes = prefixes("::/0") }, CodeRouteRefused},
		"half of everything":      {func(t *Tunnel) { t.Routes = prefixes("128.0.0.0/1") }, CodeRouteRefused},
		"loopback route":          {func(t *Tunnel) { t.Routes = prefixes("127.0.0.0/8") }, CodeRouteRefused},
		"loopback host":           {func(t *Tunnel) { t.Routes = prefixes("127.0.0.53/32") }, CodeRouteRefused},
		"IPv6 loopback":           {func(t *Tunnel) { t.Routes = prefixes("::1/128") }, CodeRouteRefused},
		"link-local route":        {func(t *Tunnel) { t.Routes = prefixes("169.254.169.254/32") }, CodeRouteRefused},
		"covers link-local":       {func(t *Tunnel) { t.Routes = prefixes("169.0.0.0/8") }, CodeRouteRefused},
		"IPv6 link-local route":   {func(t *Tunnel) { t.Routes = prefixes("fe80::/64") }, CodeRouteRefused},
		"multicast route":         {func(t *Tunnel) { t.Routes = prefixes("239.0.0.0/16") }, CodeRouteRefused},
		"IPv6 multicast route":    {func(t *Tunnel) { t.Routes = prefixes("ff02::/32") }, CodeRouteRefused},
		"broadcast":               {func(t *Tunnel) { t.Routes = prefixes("255.255.255.255/32") }, CodeRouteRefused},
		"large IPv4 route":        {func(t *Tunnel) { t.Routes = prefixes("10.0.0.0/7") }, CodeRouteRefused},
		"large IPv6 route":        {func(t *Tunnel) { t.Routes = prefixes("2000::/16") }, CodeRouteRefused},
		"address with host bits":  {func(t *Tunnel) { t.Routes = prefixes("10.96.0.1/12") }, CodeBadRequest},
		"mapped route":            {func(t *Tunnel) { t.Routes = prefixes("::ffff:10.0.0.0/112") }, CodeBadRequest},
		"zero route":              {func(t *Tunnel) { t.Routes = []netip.Prefix{{}} }, CodeBadRequest},
		"route to the API server": {func(t *Tunnel) { t.Routes = prefixes("10.100.0.1/32") }, CodeRouteRefused},
		"route to the endpoint":   {func(t *Tunnel) { t.Routes = prefixes("203.0.113.7/32") }, CodeRouteRefused},
		"many routes":             {func(t *Tunnel) { t.Routes = make([]netip.Prefix, MaxRoutes+1) }, CodeBadRequest},
		"default in small pieces": {func(t *Tunnel) {
			t.Routes = prefixes(many(100, func(i int) string { return fmt.Sprintf("%d.0.0.0/8", i+1) })...)
		}, CodeRouteRefused},
		"IPv6 in small pieces": {func(t *Tunnel) {
			t.Routes = prefixes(many(10, func(i int) string { return fmt.Sprintf("2001:%x000::/20", i) })...)
		}, CodeRouteRefused},
		"multicast exempt":         {func(t *Tunnel) { t.Exempt = addresses("224.0.0.1") }, CodeBadRequest},
		"many exempt":              {func(t *Tunnel) { t.Exempt = make([]netip.Addr, MaxExempt+1) }, CodeBadRequest},
		"port of sshd":             {func(t *Tunnel) { t.InboundPorts = []uint16{22} }, CodeBadRequest},
		"port zero":                {func(t *Tunnel) { t.InboundPorts = []uint16{0} }, CodeBadRequest},
		"many ports":               {func(t *Tunnel) { t.InboundPorts = make([]uint16, MaxInboundPorts+1) }, CodeBadRequest},
		"unknown carrier":          {func(t *Tunnel) { t.Carrier = "pigeon" }, CodeBadRequest},
		"root of names":            {func(t *Tunnel) { t.DNS.ClusterDomain = "" }, CodeBadRequest},
		"a dot":                    {func(t *Tunnel) { t.DNS.ClusterDomain = "." }, CodeBadRequest},
		"top-level domain":         {func(t *Tunnel) { t.DNS.ClusterDomain = "com" }, CodeBadRequest},
		"public suffix":            {func(t *Tunnel) { t.DNS.ClusterDomain = "co.uk" }, CodeBadRequest},
		"reverse tree":             {func(t *Tunnel) { t.DNS.ClusterDomain = "in-addr.arpa" }, CodeBadRequest},
		"localhost":                {func(t *Tunnel) { t.DNS.ClusterDomain = "cluster.localhost" }, CodeBadRequest},
		"upper case":               {func(t *Tunnel) { t.DNS.ClusterDomain = "Cluster.local" }, CodeBadRequest},
		"line break in the domain": {func(t *Tunnel) { t.DNS.ClusterDomain = "cluster.local\nnameserver 6.6.6.6" }, CodeBadRequest},
		"long domain":              {func(t *Tunnel) { t.DNS.ClusterDomain = strings.Repeat("abcdefghi.", 20) + "local" }, CodeBadRequest},
		"no namespace":             {func(t *Tunnel) { t.DNS.Namespace = "" }, CodeBadRequest},
		"namespace with dot":       {func(t *Tunnel) { t.DNS.Namespaces = []string{"google.com"} }, CodeBadRequest},
		"namespace with slash":     {func(t *Tunnel) { t.DNS.Namespaces = []string{"../../etc"} }, CodeBadRequest},
		"long namespace":           {func(t *Tunnel) { t.DNS.Namespaces = []string{strings.Repeat("a", 64)} }, CodeBadRequest},
		"a top-level domain asked": {func(t *Tunnel) { t.DNS.Domains = []string{"com"} }, CodeBadRequest},
		"a public suffix asked":    {func(t *Tunnel) { t.DNS.Domains = []string{"co.uk"} }, CodeBadRequest},
		"the root asked":           {func(t *Tunnel) { t.DNS.Domains = []string{""} }, CodeBadRequest},
		"reverse names asked":      {func(t *Tunnel) { t.DNS.Domains = []string{"10.in-addr.arpa"} }, CodeBadRequest},
		"a line break asked":       {func(t *Tunnel) { t.DNS.Domains = []string{"a.b\nnameserver 6.6.6.6"} }, CodeBadRequest},
		"a long name asked":        {func(t *Tunnel) { t.DNS.Domains = []string{strings.Repeat("abcdefghi.", 26) + "com"} }, CodeBadRequest},
		"many domains":             {func(t *Tunnel) { t.DNS.Domains = slices.Repeat([]string{"a.b"}, MaxDomains+1) }, CodeBadRequest},
		"the root left out":        {func(t *Tunnel) { t.DNS.Exclude = []string{"."} }, CodeBadRequest},
		"many left out":            {func(t *Tunnel) { t.DNS.Exclude = slices.Repeat([]string{"a"}, MaxDomains+1) }, CodeBadRequest},
		"many namespaces":          {func(t *Tunnel) { t.DNS.Namespaces = make([]string, MaxNamespaces+1) }, CodeBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			tunnel := goodTunnel()
			c.change(&tunnel)
			err := tunnel.Validate()
			refusal, ok := errors.AsType[*Error](err)
			if !ok || refusal.Code != c.code || refusal.Message == "" {
				t.Errorf("got %v, want an error with code %s", err, c.code)
			}
		})
	}
}

func TestClusterDomains(t *testing.T) {
	for _, domain := range []string{"cluster.local", "k8s.example.com", "prod.internal", "a.b", "cluster.example.co.uk"} {
		if err := validateClusterDomain(domain); err != nil {
			t.Errorf("%s: %v", domain, err)
		}
	}
}

func TestSessionNames(t *testing.T) {
	for name, ok := range map[string]bool{
		session: true, "": false, session[1:]: false, strings.ToUpper(session): false,
		strings.Repeat("z", SessionLength): false, strings.Repeat("a", 5000): false,
	} {
		err := (&DownRequest{Session: name}).Validate()
		if (err == nil) != ok {
			t.Errorf("%.40q: %v", name, err)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("the refusal repeats %d bytes", len(err.Error()))
		}
	}
}

func TestPrepareWantsTheSameProtocol(t *testing.T) {
	for protocol, older := range map[int]string{Protocol - 1: "the caller is older", Protocol + 1: "the helper is older"} {
		err := (&PrepareRequest{Protocol: protocol}).Validate()
		refusal, ok := errors.AsType[*Error](err)
		if !ok || refusal.Code != CodeProtocol || !strings.Contains(refusal.Message, older) {
			t.Errorf("protocol %d: %v", protocol, err)
		}
	}
	if err := (&PrepareRequest{Protocol: Protocol, ClientVersion: "0.1.0-dev"}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (&PrepareRequest{Protocol: Protocol, ClientVersion: "0.1\nforged log line"}).Validate(); err == nil {
		t.Error("a version with a line break was accepted")
	}
}

func TestUpdateChecksEachPart(t *testing.T) {
	bad := goodTunnel()
	bad.Peer.PublicKey = "x"
	carrier := CarrierName("pigeon")
	none := []netip.Addr{}
	routes := prefixes("0.0.0.0/0")
	exempt := addresses("224.0.0.1")
	ports := []uint16{22}
	for name, r := range map[string]UpdateRequest{
		"peer": {Peer: &bad.Peer}, "addresses": {Addresses: &none}, "routes": {Routes: &routes}, "exempt": {Exempt: &exempt},
		"dns": {DNS: &DNS{}}, "ports": {InboundPorts: &ports}, "carrier": {Carrier: &carrier},
	} {
		r.Session = session
		if err := r.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := (&UpdateRequest{Session: session}).Validate(); err != nil {
		t.Errorf("a change of nothing: %v", err)
	}
}

// TestApplyKnowsEveryPart fails when a part is added to UpdateRequest that Apply forgets.
func TestApplyKnowsEveryPart(t *testing.T) {
	want := goodTunnel()
	change := UpdateRequest{
		Session: session, Peer: &want.Peer, Addresses: &want.Addresses, Routes: &want.Routes, Exempt: &want.Exempt,
		DNS: want.DNS, InboundPorts: &want.InboundPorts, Carrier: &want.Carrier,
	}
	fields := reflect.ValueOf(change)
	for i := range fields.NumField() {
		if fields.Field(i).IsZero() {
			t.Errorf("the test leaves out %s", fields.Type().Field(i).Name)
		}
	}
	if got := change.Apply(Tunnel{}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	before := goodTunnel()
	if got := new(UpdateRequest).Apply(before); !reflect.DeepEqual(got, before) {
		t.Errorf("a change of nothing changed %+v", got)
	}
}

func addresses(all ...string) (parsed []netip.Addr) {
	for _, a := range all {
		parsed = append(parsed, netip.MustParseAddr(a))
	}
	return parsed
}

func prefixes(all ...string) (parsed []netip.Prefix) {
	for _, p := range all {
		parsed = append(parsed, netip.MustParsePrefix(p))
	}
	return parsed
}
