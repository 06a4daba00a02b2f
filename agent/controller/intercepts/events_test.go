// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

func TestEvents(t *testing.T) {
	intercept := func(before v1alpha1.InterceptPhase) *v1alpha1.Intercept {
		return &v1alpha1.Intercept{
			Spec:   v1alpha1.InterceptSpec{User: "alice", Workload: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "catalog"}, Match: &v1alpha1.Match{}},
			Status: v1alpha1.InterceptStatus{Phase: before},
		}
	}
	for _, c := range []struct {
		name   string
		before v1alpha1.InterceptPhase
		now    v1alpha1.InterceptStatus
		want   string
	}{
		{"active", "Pending", v1alpha1.InterceptStatus{Phase: "Active", PodsReady: 3, PodsCovered: 3, Redirect: "Instant"},
			"Normal Active matching traffic of Deployment/catalog goes to the laptop of alice: 3 of 3 ready pods are covered (Instant)"},
		{"still active", "Active", v1alpha1.InterceptStatus{Phase: "Active"}, ""},
		{"pending", "", v1alpha1.InterceptStatus{Phase: "Pending", Message: "wait"}, ""},
		{"refused", "", v1alpha1.InterceptStatus{Phase: "Refused", Message: "bob has it"}, "Warning Refused bob has it"},
		{"suspended", "Active", v1alpha1.InterceptStatus{Phase: "Suspended", Message: "silent"}, "Warning Suspended silent"},
		{"ended", "Active", v1alpha1.InterceptStatus{Phase: "Ended", Message: "left"}, "Normal Ended left"},
		{"ended without a word", "Active", v1alpha1.InterceptStatus{Phase: "Ended"}, "Normal Ended everything is put back"},
	} {
		e, ok := eventOf(intercept(c.before), c.now)
		if got := strings.TrimSpace(e.kind + " " + e.reason + " " + e.note); ok != (c.want != "") || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, ok, c.want)
		}
	}
	long, _ := eventOf(intercept("Active"), v1alpha1.InterceptStatus{Phase: "Ended", Message: strings.Repeat("x", 2000)})
	if len(long.note) > maxNote {
		t.Errorf("a note of %d bytes", len(long.note))
	}
}
