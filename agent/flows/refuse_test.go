// SPDX-License-Identifier: Apache-2.0

package flows

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// Who is not the sidecar that serves the pod is not let in, neither to be told orders nor for flows.
func TestStrangersAreRefused(t *testing.T) {
	g := newGateway(t, Limits{}, func(t *timing) { t.welcome = 0 })
	g.laptops.set("ana", daemon(wire.Answer{Result: wire.Accepted}, nil, echo))
	g.SetPod(podAt("pod-1", "127.0.0.1"))
	g.SetPod(podAt("pod-2", "127.0.0.2"))
	g.SetPod(podAt("gone", "127.0.0.1"))
	g.RemovePod("gone")
	change := func(change func(*wire.Hello)) wire.Hello {
		hello := g.hello("", "pod-1")
		change(&hello)
		return hello
	}
	withToken := func(token string) wire.Hello {
		return change(func(h *wire.Hello) { h.PodUID, h.Credential, h.Token = "", "", token })
	}
	for name, c := range map[string]struct {
		from  string
		hello wire.Hello
		final bool
		says  string
	}{
		"a stolen credential, from another pod":      {"127.0.0.2", change(func(*wire.Hello) {}), false, "no address of its pod"},
		"a stolen credential, from no pod":           {"127.0.0.3", change(func(*wire.Hello) {}), false, "no address of its pod"},
		"a stolen token":                             {"127.0.0.2", withToken("token-1"), false, "no address of its pod"},
		"the credential of another pod":              {"127.0.0.1", change(func(h *wire.Hello) { h.Credential = g.Credential("pod-2", "fairlead") }), true, "credential"},
		"the credential of another container":        {"127.0.0.1", change(func(h *wire.Hello) { h.Credential = g.Credential("pod-1", "app") }), true, "credential"},
		"another container with its credential":      {"127.0.0.1", change(func(h *wire.Hello) { h.Container, h.Credential = "old", g.Credential("pod-1", "old") }), true, "container old"},
		"a guess":                                    {"127.0.0.1", change(func(h *wire.Hello) { h.Credential = strings.Repeat("A", 43) }), true, "credential"},
		"no proof":                                   {"127.0.0.1", change(func(h *wire.Hello) { h.Credential = "" }), true, "exactly one"},
		"two proofs":                                 {"127.0.0.1", change(func(h *wire.Hello) { h.Token = "token-1" }), true, "exactly one"},
		"a token that is not valid":                  {"127.0.0.1", withToken("token-x"), false, "not valid"},
		"a token that can't be checked":              {"127.0.0.1", withToken("unreviewed"), false, "API server"},
		"a token of no pod":                          {"127.0.0.1", withToken("token-none"), true, "no pod"},
		"a token and another pod's UID":              {"127.0.0.2", change(func(h *wire.Hello) { h.PodUID, h.Credential, h.Token = "pod-2", "", "token-1" }), true, "another pod"},
		"a pod without an intercept":                 {"127.0.0.1", change(func(h *wire.Hello) { h.PodUID, h.Credential = "pod-9", g.Credential("pod-9", "fairlead") }), false, "no intercept"},
		"a pod whose intercept has ended":            {"127.0.0.1", change(func(h *wire.Hello) { h.PodUID, h.Credential = "gone", g.Credential("gone", "fairlead") }), true, "any more"},
		"another version of the contract":            {"127.0.0.1", change(func(h *wire.Hello) { h.Version = 99 }), true, "version 99"},
		"a container's name with control characters": {"127.0.0.1", change(func(h *wire.Hello) { h.Container = "a\nb" }), true, "control character"},
	} {
		for _, purpose := range []wire.Purpose{wire.PurposeControl, wire.PurposeFlow} {
			c.hello.Purpose = purpose
			conn, welcome := g.dial(c.from, c.hello)
			if !strings.Contains(welcome.Error, c.says) || welcome.Final != c.final || welcome.PodUID != "" {
				t.Errorf("%s, for %s: welcome %+v", name, purpose, welcome)
			}
			if err := conn.ended(); err != nil {
				t.Errorf("%s, for %s: the connection ends with %v", name, purpose, err)
			}
		}
	}
	if stats := g.Stats(); stats.Sidecars != 0 || stats.Waiting != 0 || stats.Flows != 0 {
		t.Errorf("figures %+v", stats)
	}
	// Only a pod itself can say something about it.
	if state := g.await("pod-1", func(s State) bool { return s.Refused != "" }); state.Connected {
		t.Errorf("state %+v", state)
	}
	g.join(wire.PurposeFlow, "pod-1", "127.0.0.1") // all is well with the right one
	g.join(wire.PurposeControl, "pod-1", "127.0.0.1").write(wire.Report{})
	g.await("pod-1", func(s State) bool { return s.Connected && s.Refused == "" })
	if _, welcome := g.dial("127.0.0.1", func() wire.Hello { h := withToken("token-1"); h.Purpose = wire.PurposeFlow; return h }()); welcome.PodUID != "pod-1" {
		t.Errorf("by token: welcome %+v", welcome)
	}
}

// A pod can't reach a laptop except through an active intercept of its own port.
func TestFlowsAreRefused(t *testing.T) {
	g := newGateway(t, Limits{}, nil)
	reached := make(chan wire.Open, 100)
	g.laptops.set("ana", daemon(wire.Answer{Result: wire.Accepted}, reached, echo))
	g.laptops.set("ben", daemon(wire.Answer{Result: wire.Accepted}, reached, echo))
	g.laptops.set("cem", daemon(wire.Answer{Result: wire.Accepted}, reached, echo))
	g.laptops.heard["cem"] = time.Now().Add(-5 * time.Second)
	pod := podAt("pod-1", "127.0.0.1")
	pod.Order.Ports[0].Rules = append(pod.Order.Ports[0].Rules,
		wire.Rule{Intercept: "suspended", Suspended: true}, wire.Rule{Intercept: "mirror", Mirror: true},
		wire.Rule{Intercept: "targetless"}, wire.Rule{Intercept: "silent"}, wire.Rule{Intercept: "unreachable"})
	pod.Targets["suspended"] = Target{Connection: "ben", TunnelPort: 7000}
	pod.Targets["mirror"] = Target{Connection: "ben", TunnelPort: 7000}
	pod.Targets["ruleless"] = Target{Connection: "ben", TunnelPort: 7000}
	pod.Targets["silent"] = Target{Connection: "cem", TunnelPort: 7000}
	pod.Targets["unreachable"] = Target{Connection: "dee", TunnelPort: 7000}
	g.SetPod(pod)
	g.SetPod(podAt("pod-2", "127.0.0.2"))
	change := func(change func(*wire.Open)) wire.Open {
		open := rawOpen()
		change(&open)
		return open
	}
	for name, c := range map[string]struct {
		open   wire.Open
		result wire.Result
	}{
		"another port":              {change(func(o *wire.Open) { o.Port = 8081 }), wire.NotIntercepted},
		"another protocol":          {change(func(o *wire.Open) { o.Protocol = "UDP" }), wire.NotIntercepted},
		"another intercept":         {change(func(o *wire.Open) { o.Intercept = "i-2" }), wire.NotIntercepted},
		"an intercept without rule": {change(func(o *wire.Open) { o.Intercept = "ruleless" }), wire.NotIntercepted},
		"a rule without target":     {change(func(o *wire.Open) { o.Intercept = "targetless" }), wire.NotIntercepted},
		"a suspended rule":          {change(func(o *wire.Open) { o.Intercept = "suspended" }), wire.LaptopAway},
		"a probe of one":            {change(func(o *wire.Open) { o.Intercept, o.Kind = "suspended", wire.FlowProbe }), wire.LaptopAway},
		"all of a mirror":           {change(func(o *wire.Open) { o.Intercept = "mirror" }), wire.NotIntercepted},
		"a mirror of all":           {change(func(o *wire.Open) { o.Kind = wire.FlowMirror }), wire.NotIntercepted},
		"a laptop that is silent":   {change(func(o *wire.Open) { o.Intercept = "silent" }), wire.LaptopAway},
		"a laptop that refuses":     {change(func(o *wire.Open) { o.Intercept = "unreachable" }), wire.LaptopAway},
		"no port":                   {change(func(o *wire.Open) { o.Port = 0 }), wire.NotIntercepted},
		"no client":                 {change(func(o *wire.Open) { o.Client = netip.AddrPort{} }), wire.NotIntercepted},
		"an unknown kind":           {change(func(o *wire.Open) { o.Kind = "shell" }), wire.NotIntercepted},
	} {
		conn := g.join(wire.PurposeFlow, "pod-1", "127.0.0.1")
		if answer := conn.open(c.open); answer.Result != c.result || answer.Detail == "" {
			t.Errorf("%s: answer %+v", name, answer)
		}
		if err := conn.ended(); err != nil {
			t.Errorf("%s: the connection ends with %v", name, err)
		}
	}
	waiting, wrongPod := g.join(wire.PurposeFlow, "pod-1", "127.0.0.1"), g.join(wire.PurposeFlow, "pod-2", "127.0.0.2")
	if answer := wrongPod.open(change(func(o *wire.Open) { o.Intercept = "mirror"; o.Kind = wire.FlowMirror })); answer.Result != wire.NotIntercepted {
		t.Errorf("another pod's intercept: answer %+v", answer)
	}
	g.RemovePod("pod-1")
	_ = waiting.ended()
	if len(reached) != 0 {
		t.Errorf("a laptop was reached: %+v", <-reached)
	}
	if stats := g.Stats(); stats.Flows != 0 || stats.Opened[wire.NotIntercepted] != 11 || stats.Opened[wire.LaptopAway] != 4 {
		t.Errorf("figures %+v", stats)
	}
}

func TestTooManyAreRefused(t *testing.T) {
	g := newGateway(t, Limits{IdleFlows: 2, PodFlows: 1, Flows: 2, AddressStrangers: 2, Strangers: 3}, nil)
	g.laptops.set("ana", daemon(wire.Answer{Result: wire.Accepted}, nil, echo))
	for i, address := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"} {
		g.SetPod(podAt([]types.UID{"pod-1", "pod-2", "pod-3"}[i], address))
	}
	first, second := g.join(wire.PurposeFlow, "pod-1", "127.0.0.1"), g.join(wire.PurposeFlow, "pod-1", "127.0.0.1")
	if _, welcome := g.dial("127.0.0.1", g.hello(wire.PurposeFlow, "pod-1")); welcome.Error == "" || welcome.Final {
		t.Errorf("too many wait: welcome %+v", welcome)
	}
	if answer := first.open(rawOpen()); answer.Result != wire.Accepted {
		t.Fatalf("answer %+v", answer)
	}
	if answer := second.open(rawOpen()); answer.Result != wire.Overloaded || !strings.Contains(answer.Detail, "pod has 1") {
		t.Errorf("the pod's second flow: answer %+v", answer)
	}
	if answer := g.join(wire.PurposeFlow, "pod-2", "127.0.0.2").open(rawOpen()); answer.Result != wire.Accepted {
		t.Errorf("another pod: answer %+v", answer)
	}
	if answer := g.join(wire.PurposeFlow, "pod-3", "127.0.0.3").open(rawOpen()); answer.Result != wire.Overloaded || !strings.Contains(answer.Detail, "gateway has 2") {
		t.Errorf("one too many in all: answer %+v", answer)
	}

	// Strangers who say nothing are bounded by address and in all.
	for range 2 {
		g.dialTCP("127.0.0.4")
	}
	g.awaitStats("2 strangers", func(s Stats) bool { return s.Strangers == 2 })
	turnedAway := g.dialTCP("127.0.0.4")
	if _, err := turnedAway.Read(make([]byte, 1)); err == nil {
		t.Error("a third connection from one address is answered")
	}
	g.dialTCP("127.0.0.5")
	g.awaitStats("3 strangers", func(s Stats) bool { return s.Strangers == 3 })
	turnedAway = g.dialTCP("127.0.0.6")
	if _, err := turnedAway.Read(make([]byte, 1)); err == nil {
		t.Error("a fourth stranger is answered")
	}
}

func TestStrangersAreSentAway(t *testing.T) {
	g := newGateway(t, Limits{}, func(t *timing) { t.greet = 50 * time.Millisecond })
	for name, say := range map[string]string{"nothing": "", "HTTP": "GET / HTTP/1.1\r\n\r\n", "noise": strings.Repeat("\xff", 4096)} {
		conn := g.dialTCP("127.0.0.1")
		if _, err := conn.Write([]byte(say)); err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := conn.Read(make([]byte, 1024)); err != nil {
				if strings.Contains(err.Error(), "timeout") {
					t.Errorf("%s: the connection goes on", name)
				}
				break
			}
		}
	}
}
