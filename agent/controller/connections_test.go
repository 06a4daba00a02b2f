// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

// fakePeers is a data plane that only remembers.
type fakePeers struct {
	peers    map[string]Peer
	activity map[string]Activity
}

func (f *fakePeers) SetPeer(p Peer) error              { f.peers[p.Name] = p; return nil }
func (f *fakePeers) RemovePeer(name string)            { delete(f.peers, name) }
func (f *fakePeers) Activity(name string) (a Activity) { return f.activity[name] }

// world is an API server, a data plane and a clock.
type world struct {
	t      *testing.T
	client client.Client
	peers  *fakePeers
	now    time.Time
	r      *connectionReconciler
}

var created = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, connections ...*v1alpha1.Connection) *world {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Connection{})
	for _, c := range connections {
		builder.WithObjects(c)
	}
	w := &world{t: t, client: builder.Build(), peers: &fakePeers{map[string]Peer{}, map[string]Activity{}}, now: created.Add(time.Second)}
	w.restart()
	return w
}

// restart is a new gateway in the same cluster.
func (w *world) restart() {
	var list v1alpha1.ConnectionList
	if err := w.client.List(w.t.Context(), &list); err != nil {
		w.t.Fatal(err)
	}
	w.peers.peers = map[string]Peer{}
	w.r = &connectionReconciler{
		client: w.client, peers: w.peers, forgetAfter: time.Hour, started: w.now, now: func() time.Time { return w.now },
		log: slog.New(slog.DiscardHandler), ledger: restoreLedger(testPool(w.t, "198.19.0.0/24"), list.Items), since: map[string]session{},
		identity: Identity{PublicKey: "gateway", Version: "1.2.3", ClusterDomain: "cluster.local", Relay: v1alpha1.RelayEndpoint{Namespace: "fairlead", Pod: "gateway-1", Port: 8642}},
	}
	w.r.facts.Store(&Facts{
		Ranges:     []v1alpha1.ClusterRange{{Range: "10.96.0.0/16", Kind: v1alpha1.ServiceRange, Source: sourceServiceCIDR}},
		Namespaces: []string{"default", "shop"}, UDPEndpoints: []string{"192.0.2.1:30000"},
	})
}

func (w *world) reconcile(name string) *v1alpha1.Connection {
	w.t.Helper()
	key := client.ObjectKey{Namespace: "fairlead", Name: name}
	if _, err := w.r.Reconcile(w.t.Context(), reconcile.Request{NamespacedName: key}); err != nil {
		w.t.Fatal(err)
	}
	var connection v1alpha1.Connection
	err := w.client.Get(w.t.Context(), key, &connection)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return &connection
}

// change applies a change of spec as the API server would: with a new generation.
func (w *world) change(c *v1alpha1.Connection, change func(*v1alpha1.ConnectionSpec)) {
	w.t.Helper()
	change(&c.Spec)
	c.Generation++
	if err := w.client.Update(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
}

func key(b byte) string {
	return base64.StdEncoding.EncodeToString(slices.Repeat([]byte{b}, 32))
}

func connection(name string, b byte) *v1alpha1.Connection {
	return &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead", Name: name, Generation: 1, CreationTimestamp: metav1.NewTime(created)},
		Spec:       v1alpha1.ConnectionSpec{User: name, PublicKey: key(b), Namespace: "shop"},
	}
}

func TestConnectionIsAnswered(t *testing.T) {
	w := newWorld(t, connection("anna", 1))
	got := w.reconcile("anna").Status
	peer := w.peers.peers["anna"]
	if got.Phase != v1alpha1.ConnectionReady || got.ObservedGeneration != 1 || got.GatewayPublicKey != "gateway" || got.GatewayVersion != "1.2.3" ||
		got.ClusterDomain != "cluster.local" || got.Endpoints.UDP[0] != "192.0.2.1:30000" || got.Endpoints.Relay.Pod != "gateway-1" ||
		len(got.ClusterRanges) != 1 || len(got.Namespaces) != 2 {
		t.Errorf("status %+v", got)
	}
	if got.Addresses[0] != peer.Laptop[0].String() || got.GatewayAddresses[1] != peer.Gateway[1].String() || peer.Namespace != "shop" || peer.PublicKey[0] != 1 {
		t.Errorf("status %+v, peer %+v", got, peer)
	}
}

func TestRestartChangesNothing(t *testing.T) {
	var all []*v1alpha1.Connection
	for i := range byte(20) {
		all = append(all, connection(string('a'+rune(i)), i+1))
	}
	w := newWorld(t, all...)
	for _, c := range all {
		w.reconcile(c.Name)
	}
	before := maps.Clone(w.peers.peers)
	w.restart()
	for _, c := range slices.Backward(all) { // in whatever order
		version := w.get(c.Name).ResourceVersion
		if after := w.reconcile(c.Name); after.ResourceVersion != version {
			t.Errorf("the restart made a write to %s", c.Name)
		}
	}
	for name, peer := range before {
		if now := w.peers.peers[name]; now.Laptop[0] != peer.Laptop[0] || now.PublicKey != peer.PublicKey {
			t.Errorf("%s has %v after the restart, and had %v", name, now.Laptop, peer.Laptop)
		}
	}
}

func (w *world) get(name string) *v1alpha1.Connection {
	w.t.Helper()
	var c v1alpha1.Connection
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: "fairlead", Name: name}, &c); err != nil {
		w.t.Fatal(err)
	}
	return &c
}

func TestReconnectKeepsAddressesUnlessTheyClash(t *testing.T) {
	w := newWorld(t, connection("anna", 1))
	c := w.reconcile("anna")
	address := c.Status.Addresses[0]
	w.change(c, func(s *v1alpha1.ConnectionSpec) { s.PublicKey = key(2) })
	c = w.reconcile("anna")
	if c.Status.Addresses[0] != address || w.peers.peers["anna"].PublicKey[0] != 2 || c.Status.ObservedGeneration != 2 {
		t.Errorf("after a new key: %+v", c.Status)
	}
	w.change(c, func(s *v1alpha1.ConnectionSpec) { s.UnavailableRanges = []string{address + "/32"} })
	c = w.reconcile("anna")
	if c.Status.Addresses[0] == address || c.Status.Phase != v1alpha1.ConnectionReady {
		t.Errorf("%s is unavailable, but: %+v", address, c.Status)
	}
}

func TestKeyOfAnotherIsRefused(t *testing.T) {
	w := newWorld(t, connection("anna", 1), connection("mallory", 2))
	w.reconcile("anna")
	mallory := w.reconcile("mallory")
	w.change(mallory, func(s *v1alpha1.ConnectionSpec) { s.PublicKey = key(1) })
	for range 2 {
		if c := w.reconcile("mallory"); c.Status.Phase != v1alpha1.ConnectionRefused || !strings.Contains(c.Status.Message, "public key") || len(c.Status.Addresses) > 0 {
			t.Errorf("status %+v", c.Status)
		}
		if _, ok := w.peers.peers["mallory"]; ok {
			t.Error("mallory is let in")
		}
		if c := w.reconcile("anna"); c.Status.Phase != v1alpha1.ConnectionReady {
			t.Errorf("anna is %s: %s", c.Status.Phase, c.Status.Message)
		}
		w.restart() // the rightful owner is known after a restart, too
	}
}

func TestBadSpecsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.ConnectionSpec){
		"WireGuard public key": func(s *v1alpha1.ConnectionSpec) { s.PublicKey = "x" },
		"is not a prefix":      func(s *v1alpha1.ConnectionSpec) { s.UnavailableRanges = []string{"10.0.0.0"} },
		"used up":              func(s *v1alpha1.ConnectionSpec) { s.UnavailableRanges = []string{"198.0.0.0/8"} },
		"not of the same size": func(s *v1alpha1.ConnectionSpec) {
			s.Mappings = []v1alpha1.RangeMapping{{Range: "10.0.0.0/16", Mapped: "172.16.0.0/24"}}
		},
		"tunnel's own addresses": func(s *v1alpha1.ConnectionSpec) {
			s.Mappings = []v1alpha1.RangeMapping{{Range: "10.0.0.0/24", Mapped: "198.19.0.0/24"}}
		},
		"ordinary addresses": func(s *v1alpha1.ConnectionSpec) {
			s.Mappings = []v1alpha1.RangeMapping{{Range: "10.0.0.0/24", Mapped: "127.0.0.0/24"}}
		},
		"overlaps": func(s *v1alpha1.ConnectionSpec) {
			s.Mappings = []v1alpha1.RangeMapping{{Range: "10.0.0.0/24", Mapped: "172.16.0.0/24"}, {Range: "10.0.1.0/24", Mapped: "172.16.0.0/24"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := connection("anna", 1)
			change(&c.Spec)
			w := newWorld(t, c)
			if got := w.reconcile("anna").Status; got.Phase != v1alpha1.ConnectionRefused || !strings.Contains(got.Message, name) {
				t.Errorf("phase %s, message %q", got.Phase, got.Message)
			}
			if len(w.peers.peers) > 0 {
				t.Error("the laptop is let in")
			}
		})
	}
}

func TestOneUserCannotFillTheGateway(t *testing.T) {
	l := &ledger{pool: testPool(t, "198.19.0.0/16"), leases: map[string]lease{}}
	keys := 0
	admit := func(name, user string) error {
		keys++
		own := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%032d", keys))
		_, err := l.admit(name, v1alpha1.ConnectionSpec{User: user, PublicKey: own}, v1alpha1.ConnectionStatus{})
		return err
	}
	for i := range maxPerUser {
		if err := admit(fmt.Sprint("c", i), "anna"); err != nil {
			t.Fatal(err)
		}
	}
	if err := admit("more", "anna"); err == nil || !strings.Contains(err.Error(), "anna has 500 connections") {
		t.Errorf("admit one more: %v", err)
	}
	if err := errors.Join(admit("c1", "anna"), admit("bobs", "bob")); err != nil {
		t.Errorf("admit one who is in, or another user: %v", err)
	}
}

func TestMappingsReachTheDataPlane(t *testing.T) {
	c := connection("anna", 1)
	c.Spec.Mappings = []v1alpha1.RangeMapping{{Range: "10.96.0.0/16", Mapped: "172.29.0.0/16"}}
	w := newWorld(t, c)
	w.reconcile("anna")
	if got := w.peers.peers["anna"].Mappings; len(got) != 1 || got[0].Range.String() != "10.96.0.0/16" || got[0].Mapped.String() != "172.29.0.0/16" {
		t.Errorf("mappings %v", got)
	}
}

func TestDeletedConnectionIsShutOut(t *testing.T) {
	w := newWorld(t, connection("anna", 1))
	c := w.reconcile("anna")
	if err := w.client.Delete(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	w.reconcile("anna")
	if len(w.peers.peers) > 0 || len(w.r.ledger.leases) > 0 || len(w.r.since) > 0 {
		t.Errorf("left: %v, %v, %v", w.peers.peers, w.r.ledger.leases, w.r.since)
	}
}

func TestSilence(t *testing.T) {
	w := newWorld(t, connection("anna", 1))
	step := func(after time.Duration, want v1alpha1.ConnectionPhase) *v1alpha1.Connection {
		t.Helper()
		w.now = w.now.Add(after)
		c := w.reconcile("anna")
		switch {
		case c == nil && want != "":
			t.Fatalf("%s: deleted", w.now.Sub(created))
		case c != nil && c.Status.Phase != want:
			t.Fatalf("%s: phase %s, want %q", w.now.Sub(created), c.Status.Phase, want)
		}
		return c
	}
	step(0, v1alpha1.ConnectionReady)
	step(2*time.Minute, v1alpha1.ConnectionReady)
	step(2*time.Minute, v1alpha1.ConnectionIdle)

	w.peers.activity["anna"] = Activity{LastHandshake: w.now, LastHeard: w.now, Carrier: "udp"}
	c := step(time.Second, v1alpha1.ConnectionReady)
	if c.Status.Carrier != "udp" || !c.Status.LastHandshake.Equal(&metav1.Time{Time: w.now.Add(-time.Second)}) || c.Status.Message != "" {
		t.Errorf("status %+v", c.Status)
	}
	step(4*time.Minute, v1alpha1.ConnectionIdle)

	w.activityLost() // a new gateway knows the last handshake from the status only
	w.restart()
	step(50*time.Minute, v1alpha1.ConnectionIdle)
	c = step(time.Minute, v1alpha1.ConnectionIdle)
	w.change(c, func(s *v1alpha1.ConnectionSpec) { s.PublicKey = key(2) }) // the laptop is back
	step(20*time.Minute, v1alpha1.ConnectionReady)
	step(59*time.Minute, v1alpha1.ConnectionIdle)
	step(2*time.Minute, "")
}

func (w *world) activityLost() { w.peers.activity = map[string]Activity{} }

func TestNobodyIsForgottenRightAfterAStart(t *testing.T) {
	w := newWorld(t, connection("anna", 1))
	w.reconcile("anna")
	w.now = w.now.Add(5 * time.Hour) // no gateway for hours
	w.restart()
	if c := w.reconcile("anna"); c == nil || c.Status.Phase != v1alpha1.ConnectionIdle {
		t.Fatalf("connection %+v", c)
	}
	w.now = w.now.Add(settleAfterStart + time.Second)
	if c := w.reconcile("anna"); c != nil {
		t.Errorf("still there: %+v", c.Status)
	}
}

func TestNamespacesFor(t *testing.T) {
	var many []string
	for i := range 2000 {
		many = append(many, "n"+string('a'+rune(i/676))+string('a'+rune(i/26%26))+string('a'+rune(i%26)))
	}
	slices.Sort(many)
	many = slices.Compact(many)
	last := many[len(many)-1]
	if got := namespacesFor(last, many); len(got) != maxNamespaces || !slices.Contains(got, last) || !slices.IsSorted(got) {
		t.Errorf("%d namespaces", len(got))
	}
	if got := namespacesFor("gone", many); slices.Contains(got, "gone") {
		t.Error("a namespace that does not exist is named")
	}
}

func TestFirstHandshakeShowsSoon(t *testing.T) {
	w := newWorld(t, connection("anna", 1))
	request := reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "fairlead", Name: "anna"}}
	look := func(want time.Duration) {
		t.Helper()
		result, err := w.r.Reconcile(t.Context(), request)
		if err != nil || result.RequeueAfter != want {
			t.Errorf("looks again after %v (%v), want %v", result.RequeueAfter, err, want)
		}
	}
	look(lookSoon)
	w.peers.activity["anna"] = Activity{LastHandshake: w.now, LastHeard: w.now}
	look(lookSoon)
	w.peers.activity["anna"] = Activity{LastHandshake: w.now, LastHeard: w.now, Carrier: "udp"}
	w.now = w.now.Add(lookSoon)
	look(lookEvery)
	if status := w.get("anna").Status; status.Carrier != "udp" || status.LastHandshake == nil {
		t.Errorf("status %+v", status)
	}
	delete(w.peers.activity, "anna") // who never comes is not waited for
	w.now = w.now.Add(lookEvery)
	look(lookEvery)
}
