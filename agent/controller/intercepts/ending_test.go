// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

func TestWhoLeavesDoesNotWaitForSidecarsForever(t *testing.T) {
	s := newStage(t)
	s.pod("api-a")
	s.intercept("ana")
	s.settle()
	s.mute = true
	s.get("api-ana").Spec.Leaving = true
	s.look()
	s.wantPhase("api-ana", v1alpha1.InterceptActive, "")
	s.w.now = s.w.now.Add(endTimeout + time.Millisecond)
	s.look()
	s.wantPhase("api-ana", v1alpha1.InterceptEnded, "left")
}

func TestExpiry(t *testing.T) {
	s := newStage(t)
	s.w.policy.MaxDuration = 2 * time.Hour
	s.pod("api-a")
	s.intercept("ana", func(i *v1alpha1.Intercept) { i.Spec.Expires = &metav1.Time{Time: noon.Add(time.Hour)} })
	s.intercept("ben", func(i *v1alpha1.Intercept) {
		i.Spec.Expires, i.Spec.Ports[0].Port = &metav1.Time{Time: noon.Add(9 * time.Hour)}, 9090
	})
	s.settle()
	if got := s.get("api-ben").Status.Expires; !got.Time.Equal(noon.Add(2 * time.Hour)) {
		t.Errorf("ben's expires at %s", got)
	}
	s.w.now = noon.Add(time.Hour)
	s.settle()
	s.wantPhase("api-ana", v1alpha1.InterceptEnded, "it has expired at 13:00:00 UTC")
	s.wantPhase("api-ben", v1alpha1.InterceptActive, "")
	s.w.now = s.w.now.Add(keepEnded + time.Second)
	s.settle()
	if len(s.w.intercepts) != 1 {
		t.Error("an expired intercept was not deleted")
	}
}

func TestConnectionGone(t *testing.T) {
	s := newStage(t)
	s.pod("api-a")
	s.intercept("ana")
	s.settle()
	delete(s.w.connections, "ana-1")
	s.look()
	s.wantPhase("api-ana", v1alpha1.InterceptPending, "looking for the connection ana-1")
	if !slices.Equal(s.last.connections, []string{"ana-1"}) {
		t.Fatalf("to be asked for: %v", s.last.connections)
	}
	s.m.connections["ana-1"] = absent
	s.look()
	for s.get("api-ana").Status.Phase != v1alpha1.InterceptEnded {
		if len(s.last.deletions) > 0 {
			t.Fatal("it is deleted before it says that it ended")
		}
		s.work(wire.Accepted)
		s.look()
	}
	if len(s.last.deletions) > 0 {
		t.Error("it is deleted while it still says that it ended")
	}
	s.settle()
	if len(s.w.intercepts) != 0 || len(s.sidecars.pods["api-a"].Order.Ports) != 0 {
		t.Error("it goes on without its connection")
	}
}
