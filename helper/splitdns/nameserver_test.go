// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// nameServer is a name server on loopback that answers as told, over UDP and TCP.
type nameServer struct {
	address netip.AddrPort
	asked   atomic.Int64
}

// serveNames answers every question with answer; nil says nothing at all.
func serveNames(t *testing.T, answer func(question dns.Question, tcp bool) *dns.Msg) *nameServer {
	t.Helper()
	packet, stream := freePort(t)
	s := &nameServer{address: packet.LocalAddr().(*net.UDPAddr).AddrPort()}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, request *dns.Msg) {
		s.asked.Add(1)
		_, tcp := w.RemoteAddr().(*net.TCPAddr)
		reply := answer(request.Question[0], tcp)
		if reply == nil {
			return
		}
		reply = reply.Copy()
		truncated, code := reply.Truncated, reply.Rcode
		records := reply.Answer
		reply.SetReply(request)
		reply.Truncated, reply.Rcode, reply.Answer = truncated, code, records
		_ = w.WriteMsg(reply)
	})
	for _, server := range []*dns.Server{{PacketConn: packet, Handler: handler}, {Listener: stream, Handler: handler}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { _ = server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return s
}

// freePort binds one port for UDP and TCP: one that is free for both.
func freePort(t *testing.T) (*net.UDPConn, net.Listener) {
	t.Helper()
	for range portAttempts {
		packet, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
		if err != nil {
			t.Fatal(err)
		}
		stream, err := net.Listen("tcp", packet.LocalAddr().String())
		if err == nil {
			return packet, stream
		}
		packet.Close()
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
	t.Fatal("no port is free for UDP and TCP")
	return nil, nil
}

func withAddress(name, address string) *dns.Msg {
	return &dns.Msg{Answer: []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5}, A: net.ParseIP(address).To4()}}}
}

func withCode(code int) *dns.Msg { return &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: code}} }
