// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// world is a Manager in a session with a fake cluster. The gateway's end of the tunnel is this machine.
type world struct {
	cluster *fakeCluster
	manager *Manager
	tunnel  session.Tunnel
	folder  string // of the laptop's state

	mu    sync.Mutex
	shown []session.Intercept
	ports []uint16
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{cluster: newFakeCluster(t), folder: t.TempDir()}
	w.tunnel = session.Tunnel{
		Access: w.cluster.access(t), User: "jo", GatewayNamespace: "fairlead", Connection: "jo-1", Addresses: local4, Gateway: local4,
		OpenPorts: func(_ context.Context, ports []uint16) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.ports = ports
			return nil
		},
		Show: func(all []session.Intercept) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.shown = all
		},
	}
	w.manager = w.join(t)
	return w
}

// join makes another Manager, as a restarted daemon has, and gives it the tunnel.
func (w *world) join(t *testing.T) *Manager {
	t.Helper()
	m := NewManager(nil)
	m.places.folder = w.folder
	t.Cleanup(m.Ended)
	m.Hooks().TunnelUp(w.tunnel)
	return m
}

func (w *world) create(t *testing.T, r Request) session.Intercept {
	t.Helper()
	made, err := w.manager.Create(t.Context(), r, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// await waits until what a Manager holds is as wanted.
func await(t *testing.T, m *Manager, what string, is func([]session.Intercept) bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		m.mu.Lock()
		all, changed := m.describeAll(), m.changed
		m.mu.Unlock()
		if is(all) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("never %s; last %+v", what, all)
		}
	}
}

// flow asks for a flow of an intercept, as the gateway does, and returns what comes of it.
func (w *world) flow(t *testing.T, id string) wire.Answer {
	t.Helper()
	w.mu.Lock()
	port := w.ports[0]
	w.mu.Unlock()
	o := tcpOpen
	o.Intercept = id
	_, answer := open(t, &listener{port: port}, o)
	return answer
}

func TestCreateAndLeave(t *testing.T) {
	w := newWorld(t)
	hello := program(t, func(c *net.TCPConn) { io.WriteString(c, "hello") })
	_, local, _ := net.SplitHostPort(hello.address)
	var steps []string
	made, err := w.manager.Create(t.Context(), Request{Workload: "api", Ports: []string{local}, Key: "jo-1"}, func(s string) { steps = append(steps, s) })
	if err != nil {
		t.Fatal(err)
	}
	if made.Phase != "Active" || !made.Mine || made.Header != "x-fairlead: jo-1" || made.Curl != "curl -H 'x-fairlead: jo-1' http://api.shop/" || len(made.Notes) != 0 ||
		made.Ports[0] != (session.InterceptedPort{Port: 8080, Protocol: "TCP", Local: hello.address, Listening: true}) {
		t.Errorf("made %+v", made)
	}
	if len(steps) < 2 || steps[0] != "looking for api" {
		t.Errorf("steps %q", steps)
	}
	o := w.cluster.all()[0]
	if o.Spec.User != "jo" || o.Spec.Connection.Name != "jo-1" || o.Spec.Workload.Kind != "Deployment" || o.Labels[connectionLabel] != "jo-1" ||
		o.Annotations[localAnnotation] != `{"8080/TCP":"`+hello.address+`"}` || o.Spec.Ports[0].TunnelPort != int32(w.ports[0]) || !strings.HasPrefix(o.Name, "api-") {
		t.Errorf("the object is %+v", o)
	}
	if answer := w.flow(t, made.ID); answer.Result != wire.Accepted {
		t.Errorf("a flow was answered %+v", answer)
	}
	if again := w.create(t, Request{Workload: "deployment/api", Ports: []string{local}, Key: "jo-1"}); again.ID != made.ID {
		t.Errorf("the same again made %s beside %s", again.Name, made.Name)
	}
	if _, err := w.manager.Leave(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if left := w.cluster.all(); len(left) != 0 {
		t.Errorf("the cluster still has %+v", left)
	}
	if answer := w.flow(t, made.ID); answer.Result != wire.NotIntercepted {
		t.Errorf("a flow was answered %+v after leaving", answer)
	}
	if _, err := w.manager.Leave(t.Context(), made.ID); err != nil {
		t.Errorf("leaving twice: %v", err)
	}
}

func TestAMissingProgramIsSaidAtOnceUntilItIsThere(t *testing.T) {
	w := newWorld(t)
	absent := nobody(t)
	_, local, _ := net.SplitHostPort(absent.address)
	made := w.create(t, Request{Workload: "api", Ports: []string{local}})
	want := "nothing listens on " + absent.address + "; requests go to the cluster meanwhile"
	if made.Ports[0].Listening || !slices.Contains(made.Notes, want) {
		t.Errorf("made %+v", made)
	}
	if answer := w.flow(t, made.ID); answer.Result != wire.NobodyListens {
		t.Errorf("a flow was answered %+v", answer)
	}
	listener, err := net.Listen("tcp", absent.address)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	await(t, w.manager, "listening", func(all []session.Intercept) bool {
		return len(all) == 1 && all[0].Ports[0].Listening && len(all[0].Notes) == 0
	})
}

func TestWhatComesToNothingIsLeftAgain(t *testing.T) {
	for _, test := range []struct {
		name    string
		request Request
		gateway func(*v1alpha1.Intercept)
		want    problem.Code
		text    string
	}{
		{"refused", Request{Workload: "api"}, func(o *v1alpha1.Intercept) {
			o.Status.Phase, o.Status.Message = v1alpha1.InterceptRefused, "bob has it since 09:12"
			if o.Spec.Leaving {
				o.Status.Phase = v1alpha1.InterceptEnded
			}
		}, problem.InterceptRefused, "bob has it since 09:12"},
		{"no such workload", Request{Workload: "nope"}, nil, problem.NotFound, `"nope"`},
		{"no such port", Request{Workload: "api", Ports: []string{"1:nope"}}, nil, problem.NotFound, "nope"},
		{"senseless", Request{Workload: "api", Key: "a b"}, nil, problem.Usage, "a b"},
		{"UDP by key", Request{Workload: "api", Ports: []string{"53:53/udp"}}, nil, problem.Usage, "UDP"},
		{"another kind", Request{Workload: "cronjob/api"}, nil, problem.Usage, "cronjob"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.cluster.set(func() { w.cluster.gateway = test.gateway })
			_, err := w.manager.Create(t.Context(), test.request, func(string) {})
			if p := problem.From(err); p == nil || p.Code != test.want || !strings.Contains(p.Message, test.text) {
				t.Errorf("got %v", err)
			}
			if left := w.cluster.all(); len(left) != 0 {
				t.Errorf("the cluster has %+v", left)
			}
		})
	}
}

func TestInterruptedWhilePendingIsLeftAgain(t *testing.T) {
	w := newWorld(t)
	w.cluster.set(func() {
		w.cluster.gateway = func(o *v1alpha1.Intercept) {
			o.Status.Phase, o.Status.Message = v1alpha1.InterceptPending, "pulling the image"
			if o.Spec.Leaving {
				o.Status.Phase = v1alpha1.InterceptEnded
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := w.manager.Create(ctx, Request{Workload: "api"}, func(step string) {
		if step == "pulling the image" {
			cancel()
		}
	})
	if !errors.Is(err, problem.New(problem.Cancelled, "", "")) {
		t.Errorf("got %v", err)
	}
	if left := w.cluster.all(); len(left) != 0 {
		t.Errorf("the cluster has %+v", left)
	}
}

func TestWithoutAConnectionNothingCanBeIntercepted(t *testing.T) {
	if _, err := NewManager(nil).Create(t.Context(), Request{Workload: "api"}, func(string) {}); !errors.Is(err, problem.New(problem.NotConnected, "", "")) {
		t.Errorf("got %v", err)
	}
}

func TestARestartedDaemonTakesItsInterceptsUp(t *testing.T) {
	for _, narrow := range []bool{false, true} {
		w := newWorld(t)
		w.cluster.set(func() { w.cluster.narrow = narrow })
		kept := w.create(t, Request{Workload: "api", Key: "kept", Ports: []string{"3000"}})
		w.create(t, Request{Workload: "api", Key: "held-by-a-program", Attached: true})
		w.cluster.set(func() {
			theirs := w.cluster.objects[kept.Name].DeepCopy()
			theirs.Name, theirs.UID, theirs.Spec.User = "api-theirs", "uid-theirs", "bob"
			w.cluster.objects[theirs.Name] = theirs
		})
		w.manager.TunnelDown() // as when it is killed: the cluster hears nothing

		next := w.join(t)
		await(t, next, "taken up", func(all []session.Intercept) bool {
			return len(all) == 1 && all[0].ID == kept.ID && all[0].Phase == "Active"
		})
		w.cluster.await(t, "the gateway is told where the listener is, and what nobody holds is left", func() bool {
			next.mu.Lock()
			defer next.mu.Unlock()
			return next.port != 0 && len(w.cluster.objects) == 2 && w.cluster.objects[kept.Name].Spec.Ports[0].TunnelPort == int32(next.port)
		})
		if answer := w.flow(t, kept.ID); answer.Result == wire.NotIntercepted {
			t.Errorf("a flow was answered %+v", answer)
		}
	}
}

func TestWhatThisLaptopHasNotSaidIsNotTakenUp(t *testing.T) {
	w := newWorld(t)
	changed := w.create(t, Request{Workload: "api", Key: "changed", Ports: []string{"3000"}})
	w.manager.TunnelDown()
	w.cluster.set(func() {
		w.cluster.objects[changed.Name].Annotations[localAnnotation] = `{"8080/TCP":"127.0.0.1:22"}`
		planted := w.cluster.objects[changed.Name].DeepCopy()
		planted.Name, planted.UID = "api-planted", "uid-planted"
		w.cluster.objects[planted.Name] = planted
	})
	next := w.join(t)
	w.cluster.await(t, "they are left", func() bool { return len(w.cluster.objects) == 0 })
	if _, ok, _, _ := next.Get(changed.ID); ok {
		t.Error("an intercept with another's address was taken up")
	}
}

func TestAnInterruptedTunnelKeepsIntercepts(t *testing.T) {
	w := newWorld(t)
	made := w.create(t, Request{Workload: "api", Attached: true})
	port := w.manager.port
	w.manager.TunnelDown()
	if _, err := w.manager.Create(t.Context(), Request{Workload: "api"}, func(string) {}); !errors.Is(err, problem.New(problem.NotConnected, "", "")) {
		t.Errorf("without a tunnel: %v", err)
	}
	w.manager.TunnelUp(w.tunnel)
	await(t, w.manager, "listening", func([]session.Intercept) bool {
		w.manager.mu.Lock()
		defer w.manager.mu.Unlock()
		return w.manager.listener != nil
	})
	if answer := w.flow(t, made.ID); answer.Result == wire.NotIntercepted || w.manager.port != port {
		t.Errorf("a flow was answered %+v at port %d, before %d", answer, w.manager.port, port)
	}
}

func TestTheEndOfTheSessionLeavesAll(t *testing.T) {
	w := newWorld(t)
	w.create(t, Request{Workload: "api", Key: "a"})
	w.create(t, Request{Workload: "api", Key: "b"})
	w.manager.Hooks().Leave(t.Context())
	w.manager.Ended()
	if left := w.cluster.all(); len(left) != 0 {
		t.Errorf("the cluster has %+v", left)
	}
	if len(w.shown) != 0 {
		t.Errorf("the status shows %+v", w.shown)
	}
}

func TestWhatEndsInTheClusterEndsHere(t *testing.T) {
	w := newWorld(t)
	deleted := w.create(t, Request{Workload: "api", Key: "deleted"})
	expired := w.create(t, Request{Workload: "api", Key: "expired"})
	w.cluster.set(func() {
		delete(w.cluster.objects, deleted.Name)
		w.cluster.gateway = func(o *v1alpha1.Intercept) {
			o.Status.Phase, o.Status.Message = v1alpha1.InterceptEnded, "its time is over"
		}
	})
	await(t, w.manager, "ended", func(all []session.Intercept) bool {
		w.manager.mu.Lock()
		defer w.manager.mu.Unlock()
		return len(w.manager.held) == 0 && len(all) == 2 && all[0].Phase == "Ended" && all[1].Phase == "Ended" && all[0].Message != "" && all[1].Message != ""
	})
	if _, ok, why, _ := w.manager.Get(expired.ID); ok || why != "its time is over" {
		t.Errorf("it ended because: %q", why)
	}
	if _, ok, why, _ := w.manager.Get(deleted.ID); ok || why == "" {
		t.Errorf("it ended because: %q", why)
	}
	if left := w.cluster.all(); len(left) != 0 {
		t.Errorf("the cluster has %+v", left)
	}
	for _, id := range []string{expired.ID, deleted.ID} { // which puts them out of sight
		if _, err := w.manager.Leave(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	await(t, w.manager, "out of sight", func(all []session.Intercept) bool { return len(all) == 0 })
}

func TestLeavingWhileTheClusterIsAway(t *testing.T) {
	w := newWorld(t)
	made := w.create(t, Request{Workload: "api"})
	w.cluster.set(func() { w.cluster.broken = true })
	_, err := w.manager.Leave(t.Context(), made.ID)
	if p := problem.From(err); p == nil || p.Code != problem.ClusterUnreachable || !strings.Contains(strings.Join(p.Details, " "), "the app in the cluster gets it") {
		t.Errorf("got %v", err)
	}
	if answer := w.flow(t, made.ID); answer.Result != wire.NotIntercepted {
		t.Errorf("a flow was answered %+v", answer)
	}
	w.cluster.set(func() { w.cluster.broken = false })
	w.cluster.await(t, "the cluster is told later", func() bool { return len(w.cluster.objects) == 0 })
}

func TestDescribeTellsWhatOthersHave(t *testing.T) {
	o := &v1alpha1.Intercept{}
	o.Name, o.Namespace = "api-1", "shop"
	o.Annotations = map[string]string{localAnnotation: `{"8080/TCP":"127.0.0.1:3000","53/UDP":"a\u001b[31m"}`, urlAnnotation: "http://api.shop/"}
	o.Spec = v1alpha1.InterceptSpec{User: "bob", Ports: []v1alpha1.InterceptPort{{Port: 8080}, {Port: 53, Protocol: "UDP"}}, Mirror: true, Match: &v1alpha1.Match{
		Headers: []v1alpha1.HeaderMatch{{Name: "x-a", ValueMatch: v1alpha1.ValueMatch{Prefix: text("b")}}}, Path: &v1alpha1.ValueMatch{Regex: text("/x.*")},
	}}
	o.Status.Counts.Matched = -1
	o.Status.Local = []v1alpha1.InterceptLocal{{Port: 8080, Protocol: "TCP", Listening: true}}
	s := Describe(o)
	if s.Mine || s.All || !s.Ports[0].Listening || s.Ports[0].Local != "127.0.0.1:3000" || s.Ports[1].Local != "" || s.Counts.Matched != 0 || What(s) != "x-a^=b, path~=/x.* (copy)" {
		t.Errorf("got %+v, %s", s, What(s))
	}
}

func TestWhatIsBeingMadeIsNotLeft(t *testing.T) {
	w := newWorld(t)
	w.create(t, Request{Workload: "api", Key: "made"})
	w.create(t, Request{Workload: "api", Key: "stray"})
	tunnel, _, _ := w.manager.now()
	objects := w.cluster.all()
	// As it is between the cluster's answer to a creation and the manager's taking note of it; the other is nobody's.
	w.manager.mu.Lock()
	for _, o := range objects {
		w.manager.held[string(o.UID)].follow()
		delete(w.manager.held, string(o.UID))
		w.manager.creating[o.Namespace+"/"+o.Name] = *o.Spec.Match.Key == "made"
	}
	w.manager.mu.Unlock()
	for _, o := range objects {
		if err := w.manager.places.forget(tunnel, string(o.UID)); err != nil {
			t.Fatal(err)
		}
	}
	w.manager.takeUp(t.Context(), tunnel, objects)
	w.cluster.await(t, "the stray one is left", func() bool { return len(w.cluster.objects) < 2 })
	if left := w.cluster.all(); len(left) != 1 || left[0].Spec.Leaving || *left[0].Spec.Match.Key != "made" {
		t.Errorf("the cluster has %+v", left)
	}
}
