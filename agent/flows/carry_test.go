// SPDX-License-Identifier: Apache-2.0

package flows

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/tlsconn"
)

func TestFlowIsCarried(t *testing.T) {
	g := newGateway(t, Limits{}, nil)
	opens := make(chan wire.Open, 10)
	g.laptops.set("ana", daemon(wire.Answer{Result: wire.Accepted, Local: "127.0.0.1:3000"}, opens, echo))
	pod := podAt("pod-1", "127.0.0.1")
	pod.Targets["i-1"] = Target{Connection: "ana", TunnelPort: 7000, Ports: map[Port]uint16{{8080, "TCP"}: 7001}}
	g.SetPod(pod)
	c := g.join(wire.PurposeFlow, "pod-1", "127.0.0.1")
	open := rawOpen()
	open.Pod = "of another name"
	if answer := c.open(open); answer != (wire.Answer{Result: wire.Accepted, Local: "127.0.0.1:3000"}) {
		t.Fatalf("answer %+v", answer)
	}
	if got := <-opens; got.Pod != "api-pod-1" || got.Client != open.Client || got.Intercept != "i-1" || got.Kind != wire.FlowRaw {
		t.Errorf("the laptop was asked for %+v", got)
	}
	if port := g.laptops.dialed[0]; port != 7001 {
		t.Errorf("port %d was dialed", port)
	}
	for _, size := range []int{1, smallBuffer, smallBuffer + 1, 100, largeBuffer, largeBuffer + 1, 3 << 20} {
		want := make([]byte, size)
		rand.Read(want)
		written := make(chan error, 1)
		go func() {
			_, err := c.conn.Write(want)
			written <- err
		}()
		got := make([]byte, size)
		if _, err := io.ReadFull(c.conn, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
	if err := c.conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := c.ended(); err != nil {
		t.Errorf("the flow ends with %v", err)
	}
	g.awaitStats("no flows", func(s Stats) bool { return s.Flows == 0 })
	if stats := g.Stats(); stats.ToLaptops != stats.FromLaptops || stats.ToLaptops < 3<<20 || stats.Opened[wire.Accepted] != 1 {
		t.Errorf("figures %+v", stats)
	}
}

// The end of one direction is the end of that one only, whichever side is first.
func TestHalfClose(t *testing.T) {
	g := newGateway(t, Limits{}, nil)
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	heard := make(chan string, 1)
	g.laptops.set("ana", daemon(wire.Answer{Result: wire.Accepted}, nil, func(c *net.TCPConn) { // the laptop is first
		_, _ = io.WriteString(c, "goodbye")
		_ = c.CloseWrite()
		all, _ := io.ReadAll(c)
		heard <- string(all)
	}))
	c := g.join(wire.PurposeFlow, "pod-1", "127.0.0.1")
	c.open(rawOpen())
	if all, err := io.ReadAll(c.conn); string(all) != "goodbye" || err != nil {
		t.Errorf("read %q, %v", all, err)
	}
	if _, err := io.WriteString(c.conn, "one moment"); err != nil {
		t.Fatal(err)
	}
	if err := c.conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got != "one moment" {
		t.Errorf("the laptop heard %q", got)
	}
	g.laptops.set("ana", daemon(wire.Answer{Result: wire.Accepted}, nil, func(c *net.TCPConn) { // the sidecar is first
		all, _ := io.ReadAll(c)
		_, _ = io.WriteString(c, strings.ToUpper(string(all)))
		_ = c.CloseWrite()
	}))
	c = g.join(wire.PurposeFlow, "pod-1", "127.0.0.1")
	c.open(rawOpen())
	if _, err := io.WriteString(c.conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := c.conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if all, err := io.ReadAll(c.conn); string(all) != "HELLO" || err != nil {
		t.Errorf("read %q, %v", all, err)
	}
	g.awaitStats("no flows", func(s Stats) bool { return s.Flows == 0 })
}

// A connection that breaks off on one side breaks off on the other, and is never taken for an orderly end.
func TestResetsArePassedOn(t *testing.T) {
	g := newGateway(t, Limits{}, nil)
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	g.laptops.set("ana", daemon(wire.Answer{Result: wire.Accepted}, nil, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, 1))
		_ = c.SetLinger(0)
	}))
	c := g.join(wire.PurposeFlow, "pod-1", "127.0.0.1")
	c.open(rawOpen())
	if _, err := c.conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := c.ended(); err == nil {
		t.Error("the laptop's reset came as an orderly end")
	}
	for name, end := range map[string]func(*sidecar){
		"a reset":                func(c *sidecar) { tlsconn.Reset(c.raw) },
		"an end without goodbye": func(c *sidecar) { c.raw.Close() },
	} {
		ended := make(chan error, 1)
		g.laptops.set("ana", daemon(wire.Answer{Result: wire.Accepted}, nil, func(c *net.TCPConn) {
			_, err := io.Copy(io.Discard, c)
			ended <- err
		}))
		c := g.join(wire.PurposeFlow, "pod-1", "127.0.0.1")
		c.open(rawOpen())
		end(c)
		if err := <-ended; err == nil {
			t.Errorf("%s came to the laptop as an orderly end", name)
		}
	}
	g.awaitStats("no flows", func(s Stats) bool { return s.Flows == 0 })
}

// Answers of the laptop are passed on; only an accepting one begins a flow.
func TestAnswersOfTheLaptop(t *testing.T) {
	g := newGateway(t, Limits{}, nil)
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	nobody := wire.Answer{Result: wire.NobodyListens, Detail: "nothing listens on 127.0.0.1:3000", Local: "127.0.0.1:3000"}
	accepted := wire.Answer{Result: wire.Accepted}
	probe := rawOpen()
	probe.Kind, probe.Client = wire.FlowProbe, netip.AddrPort{}
	for name, c := range map[string]struct {
		open   wire.Open
		laptop func(net.Conn)
		result wire.Result
	}{
		"nobody listens":  {rawOpen(), daemon(nobody, nil, nil), wire.NobodyListens},
		"a probe":         {probe, daemon(accepted, nil, nil), wire.Accepted},
		"a probe, nobody": {probe, daemon(nobody, nil, nil), wire.NobodyListens},
		"it hangs up":     {rawOpen(), func(c net.Conn) { c.Close() }, wire.LaptopAway},
		"noise":           {rawOpen(), func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte{0xff}, 100)); c.Close() }, wire.LaptopAway},
		"no such result":  {rawOpen(), daemon(wire.Answer{Result: "perhaps"}, nil, nil), wire.LaptopAway},
	} {
		g.laptops.set("ana", c.laptop)
		conn := g.join(wire.PurposeFlow, "pod-1", "127.0.0.1")
		if answer := conn.open(c.open); answer.Result != c.result {
			t.Errorf("%s: answer %+v", name, answer)
		}
		if err := conn.ended(); err != nil {
			t.Errorf("%s: the connection ends with %v", name, err)
		}
	}
	g.awaitStats("no flows", func(s Stats) bool { return s.Flows == 0 })
}

func TestLaptopThatDoesNotAnswer(t *testing.T) {
	g := newGateway(t, Limits{}, func(t *timing) { t.answer = 50 * time.Millisecond })
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	g.laptops.set("ana", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	if answer := g.join(wire.PurposeFlow, "pod-1", "127.0.0.1").open(rawOpen()); answer.Result != wire.LaptopAway {
		t.Errorf("answer %+v", answer)
	}
	g.awaitStats("no flows", func(s Stats) bool { return s.Flows == 0 })
}

// What a flow does not take, the other side keeps: nothing is stored beyond the buffers.
func TestBackpressure(t *testing.T) {
	g := newGateway(t, Limits{}, nil)
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	release := make(chan struct{})
	g.laptops.set("ana", daemon(wire.Answer{Result: wire.Accepted}, nil, func(c *net.TCPConn) {
		<-release
		_, _ = io.Copy(io.Discard, c)
	}))
	c := g.join(wire.PurposeFlow, "pod-1", "127.0.0.1")
	c.open(rawOpen())
	var sent atomic.Int64
	if err := c.conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 64<<10)
	for {
		n, err := c.conn.Write(chunk)
		sent.Add(int64(n))
		if err != nil {
			break
		}
		if sent.Load() > 256<<20 {
			t.Fatal("everything is taken")
		}
	}
	close(release)
}

// Flows of a rule that is suspended or gone end after a while, requests at once.
func TestFlowsOfRulesThatEnd(t *testing.T) {
	g := newGateway(t, Limits{}, func(t *timing) { t.rawAway, t.ruleGone = time.Hour, 20*time.Millisecond })
	g.laptops.set("ana", daemon(wire.Answer{Result: wire.Accepted}, nil, echo))
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	raw, http := g.join(wire.PurposeFlow, "pod-1", "127.0.0.1"), g.join(wire.PurposeFlow, "pod-1", "127.0.0.1")
	raw.open(rawOpen())
	requests := rawOpen()
	requests.Kind = wire.FlowHTTP
	http.open(requests)
	suspended := podAt("pod-1", "127.0.0.1")
	suspended.Order.Ports[0].Rules[0].Suspended = true
	g.SetPod(suspended)
	if err := http.ended(); err == nil {
		t.Error("requests to a laptop that is away end in order")
	}
	g.SetPod(podAt("pod-1", "127.0.0.1")) // the laptop is back
	if _, err := raw.conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(raw.conn, make([]byte, 1)); err != nil {
		t.Errorf("a flow that is no request did not outlive it: %v", err)
	}
	g.RemovePod("pod-1")
	if err := raw.ended(); err == nil {
		t.Error("a flow of an intercept that is gone ends in order")
	}
	g.awaitStats("no flows", func(s Stats) bool { return s.Flows == 0 })
}

// BenchmarkFlow moves data from a laptop to a sidecar and back.
func BenchmarkFlow(b *testing.B) {
	for name, up := range map[string]bool{"toLaptop": true, "fromLaptop": false} {
		b.Run(name, func(b *testing.B) {
			g := newGateway(b, Limits{}, nil)
			g.SetPod(podAt("pod-1", "127.0.0.1"))
			const chunk = 256 << 10
			total := int64(b.N) * chunk
			done := make(chan struct{})
			g.laptops.set("ana", daemon(wire.Answer{Result: wire.Accepted}, nil, func(c *net.TCPConn) {
				if up {
					_, _ = io.CopyN(io.Discard, c, total)
					close(done)
					return
				}
				buffer := make([]byte, chunk)
				for range b.N {
					_, _ = c.Write(buffer)
				}
				_ = c.CloseWrite()
				_, _ = io.Copy(io.Discard, c)
			}))
			c := g.join(wire.PurposeFlow, "pod-1", "127.0.0.1")
			c.open(rawOpen())
			b.SetBytes(chunk)
			b.ResetTimer()
			if up {
				buffer := make([]byte, chunk)
				for range b.N {
					if _, err := c.conn.Write(buffer); err != nil {
						b.Fatal(err)
					}
				}
				<-done
				return
			}
			buffer := make([]byte, 64<<10)
			for left := total; left > 0; {
				n, err := c.conn.Read(buffer)
				if err != nil {
					b.Fatal(err)
				}
				left -= int64(n)
			}
		})
	}
}
