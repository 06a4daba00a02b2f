// SPDX-License-Identifier: Apache-2.0

package flows

import (
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

func TestOrdersAndReports(t *testing.T) {
	g := newGateway(t, Limits{}, nil)
	pod := podAt("pod-1", "127.0.0.1")
	g.SetPod(pod)
	c := g.join(wire.PurposeControl, "pod-1", "127.0.0.1")
	first := c.order()
	if len(first.Ports) != 1 || first.Ports[0].Port != 8080 || first.Revision != g.State("pod-1").Revision {
		t.Fatalf("order %+v", first)
	}
	if g.State("pod-1").Connected {
		t.Error("connected before the first report")
	}
	c.write(wire.Report{Revision: first.Revision, Ports: []wire.PortReport{{Port: 8080, Protocol: "TCP", Redirected: true}}})
	state := g.await("pod-1", func(s State) bool { return s.Connected })
	if state.Container != "fairlead" || state.Program != "1.2.3" || state.Report.Revision != first.Revision || !state.Report.Ports[0].Redirected {
		t.Errorf("state %+v", state)
	}

	g.SetPod(podAt("pod-1", "127.0.0.1")) // the same
	if revision := g.State("pod-1").Revision; revision != first.Revision {
		t.Errorf("revision %d for the same order, want %d", revision, first.Revision)
	}
	pod = podAt("pod-1", "127.0.0.1")
	pod.Order.Ports[0].Rules[0].Suspended = true
	g.SetPod(pod)
	second := c.order()
	if second.Revision <= first.Revision || !second.Ports[0].Rules[0].Suspended {
		t.Errorf("second order %+v", second)
	}

	g.RemovePod("pod-1")
	if last := c.order(); last.Revision <= second.Revision || len(last.Ports) != 0 || last.Linger != 0 {
		t.Errorf("last order %+v", last)
	}
	if state := g.State("pod-1"); state.Revision != 0 {
		t.Errorf("a pod that is gone has the state %+v", state)
	}
	if _, welcome := g.dial("127.0.0.1", g.hello(wire.PurposeControl, "pod-1")); !welcome.Final || welcome.Error == "" {
		t.Errorf("afterwards the welcome is %+v", welcome)
	}
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	g.join(wire.PurposeControl, "pod-1", "127.0.0.1")
}

func TestHeartbeatsGoBothWays(t *testing.T) {
	g := newGateway(t, Limits{}, func(t *timing) { t.heartbeat, t.silence = time.Millisecond, time.Hour })
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	c := g.join(wire.PurposeControl, "pod-1", "127.0.0.1")
	revision := c.order().Revision
	for range 3 {
		var order wire.Order
		if c.read(&order); !order.Unchanged || order.Revision != revision || order.Ports != nil {
			t.Errorf("heartbeat %+v", order)
		}
	}
}

func TestSilentSidecarIsLost(t *testing.T) {
	g := newGateway(t, Limits{}, func(t *timing) { t.silence = 20 * time.Millisecond })
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	c := g.join(wire.PurposeControl, "pod-1", "127.0.0.1")
	c.write(wire.Report{Open: 1})
	g.await("pod-1", func(s State) bool { return s.Connected })
	if state := g.await("pod-1", func(s State) bool { return !s.Connected }); state.Container != "fairlead" || state.Report.Open != 1 {
		t.Errorf("what was known is gone: %+v", state)
	}
}

func TestNewerConnectionReplacesOlder(t *testing.T) {
	g := newGateway(t, Limits{}, nil)
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	older := g.join(wire.PurposeControl, "pod-1", "127.0.0.1")
	older.order()
	newer := g.join(wire.PurposeControl, "pod-1", "127.0.0.1")
	newer.order()
	_ = older.ended()
	newer.write(wire.Report{})
	g.await("pod-1", func(s State) bool { return s.Connected })
	if stats := g.Stats(); stats.Sidecars != 1 {
		t.Errorf("%d sidecars", stats.Sidecars)
	}
}

func TestOtherContainerTakesOver(t *testing.T) {
	g := newGateway(t, Limits{}, nil)
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	older := g.join(wire.PurposeControl, "pod-1", "127.0.0.1")
	older.order()
	waiting := g.join(wire.PurposeFlow, "pod-1", "127.0.0.1")
	pod := podAt("pod-1", "127.0.0.1")
	pod.Container = "fairlead-2"
	g.SetPod(pod)
	if last := older.order(); len(last.Ports) != 0 {
		t.Errorf("the older one is told %+v", last)
	}
	_ = waiting.ended()
	hello := g.hello(wire.PurposeControl, "pod-1")
	hello.Container, hello.Credential = "fairlead-2", g.Credential("pod-1", "fairlead-2")
	newer, welcome := g.dial("127.0.0.1", hello)
	if welcome.Error != "" {
		t.Fatal(welcome.Error)
	}
	if order := newer.order(); len(order.Ports) != 1 {
		t.Errorf("the newer one is told %+v", order)
	}
}

// A sidecar that is there before its pod's order or address waits a little, and is served without trying again.
func TestSidecarBeforeItsOrder(t *testing.T) {
	g := newGateway(t, Limits{}, func(t *timing) { t.welcome = time.Hour })
	welcomed := make(chan wire.Welcome)
	go func() {
		_, welcome := g.dial("127.0.0.1", g.hello(wire.PurposeControl, "pod-1"))
		welcomed <- welcome
	}()
	pod := podAt("pod-1", "127.0.0.1")
	pod.Addresses = nil
	g.SetPod(pod)
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	if welcome := <-welcomed; welcome.Error != "" {
		t.Errorf("welcome %+v", welcome)
	}
}

func TestMalformedReportEndsTheConnection(t *testing.T) {
	g := newGateway(t, Limits{}, nil)
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	for name, send := range map[string]func(*sidecar){
		"bad port":  func(c *sidecar) { c.write(wire.Report{Ports: []wire.PortReport{{}}}) },
		"not JSON":  func(c *sidecar) { _, _ = c.conn.Write([]byte("\x00\x00\x00\x03abc")) },
		"too large": func(c *sidecar) { _, _ = c.conn.Write([]byte("\xff\x00\x00\x03abc")) },
	} {
		c := g.join(wire.PurposeControl, "pod-1", "127.0.0.1")
		send(c)
		_ = c.ended()
		if state := g.State("pod-1"); state.Connected {
			t.Errorf("%s: connected", name)
		}
	}
}

func TestRequestsAreKept(t *testing.T) {
	g := newGateway(t, Limits{}, nil)
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	c := g.join(wire.PurposeControl, "pod-1", "127.0.0.1")
	start := time.Now()
	for batch := range 3 {
		report := wire.Report{Open: batch, Rules: []wire.InterceptReport{{Intercept: "i-1", Port: 8080, Protocol: "TCP", Matched: int64(batch) + 1}}}
		for i := range wire.MaxRequests / 2 {
			report.Requests = append(report.Requests,
				wire.Request{Intercept: "i-1", At: start.Add(time.Duration(batch*100+i) * time.Second), Path: "/", To: "laptop"},
				wire.Request{Intercept: "of nobody", Path: "/"})
		}
		report.Requests[0].Path = "/\x00"
		c.write(report)
	}
	g.await("pod-1", func(s State) bool { return len(s.Report.Rules) == 1 && s.Report.Rules[0].Matched == 3 })
	requests := g.Requests("i-1")
	if len(requests) != maxKept || requests[0].Pod != "api-pod-1" || !requests[maxKept-1].At.Equal(start.Add(249*time.Second)) {
		t.Errorf("%d requests, the last at %s", len(requests), requests[len(requests)-1].At)
	}
	if len(g.Requests("of nobody")) != 0 || len(g.State("pod-1").Report.Requests) != 0 {
		t.Error("requests where none should be")
	}
	pod := podAt("pod-1", "127.0.0.1")
	pod.Targets = nil
	g.SetPod(pod)
	if n := len(g.Requests("i-1")); n != 0 {
		t.Errorf("%d requests of an intercept that is gone", n)
	}
}

func TestServeEndsConnections(t *testing.T) {
	g := newGateway(t, Limits{}, nil)
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	control, flow := g.join(wire.PurposeControl, "pod-1", "127.0.0.1"), g.join(wire.PurposeFlow, "pod-1", "127.0.0.1")
	g.stop()
	_, _ = control.ended(), flow.ended()
}
