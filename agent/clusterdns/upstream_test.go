// SPDX-License-Identifier: Apache-2.0

package clusterdns

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"
)

// serve runs a DNS server on a loopback address, by UDP and TCP, and returns host:port.
func serve(t *testing.T, handler dns.HandlerFunc) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []*dns.Server{{Listener: listener, Handler: handler}, {PacketConn: packets, Handler: handler}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { _ = server.ActivateAndServe() }() // ends with Shutdown
		<-started
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return listener.Addr().String()
}

func answering(text string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg)
		reply.SetReply(query)
		record, _ := dns.NewRR(text)
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp && query.Question[0].Name == "long." {
			reply.Truncated = true
		} else {
			reply.Answer = []dns.RR{record}
		}
		_ = w.WriteMsg(reply) // the client is gone, or has its answer
	}
}

func question(name string) *dns.Msg {
	query := new(dns.Msg)
	return query.SetQuestion(name, dns.TypeA)
}

func TestUpstream(t *testing.T) {
	server := serve(t, answering("x. 5 IN A 10.0.0.1"))
	for _, name := range []string{"short.", "long."} {
		answer, err := NewUpstream([]string{server}).Exchange(t.Context(), question(name))
		if err != nil || len(answer.Answer) != 1 {
			t.Errorf("%s: answer %v, error %v", name, answer, err)
		}
	}
}

func TestUpstreamTurnsToTheNextServer(t *testing.T) {
	unused, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := unused.LocalAddr().String()
	unused.Close() // so that the kernel refuses what is sent there
	server := serve(t, answering("x. 5 IN A 10.0.0.1"))
	if _, err := NewUpstream([]string{dead, server}).Exchange(t.Context(), question("short.")); err != nil {
		t.Error(err)
	}
	if _, err := NewUpstream([]string{dead}).Exchange(t.Context(), question("short.")); err == nil {
		t.Error("no server answers, but there is no error")
	}
}

func TestUpstreamObeysItsContext(t *testing.T) {
	silent := serve(t, func(dns.ResponseWriter, *dns.Msg) {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewUpstream([]string{silent}).Exchange(ctx, question("short.")); err == nil {
		t.Error("an answer after the context had ended")
	}
}

func TestReadResolvConf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	content := "search fairlead.svc.k8s.test svc.k8s.test k8s.test\nnameserver 10.96.0.10\nnameserver fd00:10:96::a\noptions ndots:5\n"
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	servers, domain, err := ReadResolvConf(path)
	if err != nil || domain != "k8s.test" || len(servers) != 2 || servers[0] != "10.96.0.10:53" || servers[1] != "[fd00:10:96::a]:53" {
		t.Errorf("servers %v, domain %q, error %v", servers, domain, err)
	}
	if err := os.WriteFile(path, []byte("search x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadResolvConf(path); err == nil {
		t.Error("a file without nameserver is accepted")
	}
}
