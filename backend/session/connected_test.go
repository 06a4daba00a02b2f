// SPDX-License-Identifier: Apache-2.0

package session

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/helper/api"
)

func TestStatusTellsTheTruthAboutSilence(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	w.helper.set(func(h *fakeHelper) { h.probes = func(s *api.Status) { silent(&s.UDP); silent(&s.Relay) } })
	w.await(t, "reconnecting with a reason", func(s Status) bool {
		return s.State == Reconnecting && s.Carrier.Active == "" && !s.DNS.Healthy && s.Problem != nil && s.Problem.Code == problem.NoCarrier
	})
	w.helper.set(func(h *fakeHelper) { h.probes = nil })
	w.await(t, "connected again", func(s Status) bool { return s.State == Connected && s.Problem == nil && s.DNS.Healthy })
	if w.helper.started != 1 {
		t.Error("silence must not end the session")
	}
}

func TestCarrierFollowsProbes(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	w.helper.set(func(h *fakeHelper) {
		h.relays = 1 // as if a relay were open
		h.probes = func(s *api.Status) { silent(&s.UDP) }
	})
	s := w.await(t, "on the relay", func(s Status) bool { return s.State == Connected && s.Carrier.Active == "relay" })
	if !strings.Contains(s.Carrier.Reason, "192.0.2.1:31820 is not answered") {
		t.Errorf("reason %q", s.Carrier.Reason)
	}
	w.helper.set(func(h *fakeHelper) { h.probes = nil })
	w.await(t, "back on UDP", func(s Status) bool { return s.State == Connected && s.Carrier.Active == "udp" })
}

func TestHelperLost(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	w.helper.set(func(h *fakeHelper) { h.absent = true })
	w.helper.die()
	w.await(t, "reconnecting for want of a helper", func(s Status) bool {
		return s.State == Reconnecting && s.Problem != nil && s.Problem.Code == problem.HelperMissing
	})
	w.helper.set(func(h *fakeHelper) { h.absent = false })
	w.await(t, "connected again", func(s Status) bool { return s.State == Connected })
	if last := w.cluster.applied[len(w.cluster.applied)-1]; last.PublicKey != "key-2" {
		t.Errorf("announced %q, want the new session's key", last.PublicKey)
	}
}

// TestTakenOver: who lost the tunnel to another program of the same user says so and does not take it back. The Connection goes,
// unless it is the other one's.
func TestTakenOver(t *testing.T) {
	for name, othersToo := range map[string]bool{"to another cluster": false, "to the same cluster": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect(t)
			w.cluster.mu.Lock()
			if othersToo {
				w.cluster.connection.Spec.PublicKey = "the other one's"
			}
			w.cluster.mu.Unlock()
			w.helper.set(func(h *fakeHelper) {
				h.refuse[api.VerbWatch] = &api.Error{Code: api.CodeReplaced, Message: "another Fairlead of yours has it", Hint: "Disconnect that."}
			})
			s := w.await(t, "disconnected", func(s Status) bool { return s.State == Disconnected })
			if s.Problem == nil || s.Problem.Code != problem.NotConnected || s.Problem.Hint != "Disconnect that." {
				t.Errorf("problem %+v", s.Problem)
			}
			w.cluster.mu.Lock()
			defer w.cluster.mu.Unlock()
			if left := w.cluster.connection != nil; left != othersToo {
				t.Errorf("the Connection is left: %t", left)
			}
		})
	}
}

func TestConnectionDeletedByOthersIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	w.cluster.drop()
	deadline := time.After(20 * time.Second)
	for again := false; !again; {
		w.cluster.mu.Lock()
		again = w.cluster.connection != nil
		changed := w.cluster.changed
		w.cluster.mu.Unlock()
		if !again {
			select {
			case <-changed:
			case <-deadline:
				t.Fatal("the connection was not made again")
			}
		}
	}
	if s := w.manager.Status(); s.State != Connected {
		t.Errorf("state is %s", s.State)
	}
}

func TestTunnelFollowsTheGateway(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	w.cluster.set(func(c *fakeCluster) {
		c.status.Endpoints.UDP = []string{"192.0.2.9:31999"}
		c.status.ClusterRanges = append(c.status.ClusterRanges, v1alpha1.ClusterRange{Range: "10.245.0.0/16", Kind: v1alpha1.PodRange})
	})
	s := w.await(t, "on the new endpoint", func(s Status) bool { return s.Carrier.Endpoint == "192.0.2.9:31999" })
	if !slices.Equal(s.Routes, prefixes("10.96.0.0/16", "10.244.0.0/16", "10.245.0.0/16")) {
		t.Errorf("routes %v", s.Routes)
	}
	w.cluster.set(func(c *fakeCluster) {
		c.status.Phase, c.status.Message = v1alpha1.ConnectionRefused, "too many laptops"
	})
	w.await(t, "showing the refusal", func(s Status) bool {
		return s.Problem != nil && strings.Contains(s.Problem.Message, "too many laptops")
	})
	w.cluster.set(func(c *fakeCluster) { c.status.Phase, c.status.Message = v1alpha1.ConnectionReady, "" })
	w.await(t, "well again", func(s Status) bool { return s.Problem == nil })
}

func TestAPIServerGoneIsANoteOnly(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	w.cluster.set(func(c *fakeCluster) { c.broken = http.StatusServiceUnavailable })
	s := w.await(t, "noted", func(s Status) bool {
		return slices.ContainsFunc(s.Notes, func(n string) bool { return strings.Contains(n, "the API server has not answered") })
	})
	if s.State != Connected || s.Problem != nil {
		t.Errorf("got %s, %+v", s.State, s.Problem)
	}
	w.cluster.set(func(c *fakeCluster) { c.broken = 0 })
	w.await(t, "forgotten", func(s Status) bool { return s.State == Connected && len(s.Notes) == 0 })
}

func TestARightThatIsTakenAwayIsAProblem(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	w.cluster.set(func(c *fakeCluster) { c.forbidden, c.broken = true, http.StatusServiceUnavailable }) // ends the watch
	w.await(t, "noted", func(s Status) bool { return len(s.Notes) > 0 })
	w.cluster.set(func(c *fakeCluster) { c.broken = 0 })
	s := w.await(t, "shown", func(s Status) bool { return s.Problem != nil })
	if s.Problem.Code != problem.Forbidden || s.State != Connected {
		t.Errorf("got %s, %+v", s.State, s.Problem)
	}
	w.cluster.set(func(c *fakeCluster) { c.forbidden = false })
	w.await(t, "well again", func(s Status) bool { return s.Problem == nil })
}

func TestNamesThatDoNotResolveAreAProblemOfAConnection(t *testing.T) {
	w := newWorld(t)
	w.helper.names = false
	w.connect(t)
	if s := w.manager.Status(); s.State != Connected || s.Problem == nil || s.Problem.Code != problem.DNS || s.DNS.Healthy {
		t.Errorf("got %+v, problem %+v", s, s.Problem)
	}
	w.helper.set(func(h *fakeHelper) { h.names = true })
	w.await(t, "well", func(s Status) bool { return s.Problem == nil && s.DNS.Healthy })
}

func TestAnotherSessionTakesOver(t *testing.T) {
	w := newWorld(t)
	w.connect(t)
	w.cluster.set(func(c *fakeCluster) {
		c.connection.Generation++
		c.connection.Spec.PublicKey = "somebody else's"
	})
	s := w.await(t, "ended", func(s Status) bool { return s.State == Disconnected })
	if s.Problem == nil || !strings.Contains(s.Problem.Message, "another session") {
		t.Errorf("got %+v", s.Problem)
	}
	if w.cluster.deleted != 0 {
		t.Error("the connection is the other session's: it must stay")
	}
}
