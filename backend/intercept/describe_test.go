// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

// TestDescribeSaysOfALimit: who asks for longer than the gateway allows is told.
func TestDescribeSaysOfALimit(t *testing.T) {
	made := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: made.Add(d)} }
	for name, test := range map[string]struct {
		asked, allowed *metav1.Time
		want           []string
	}{
		"not asked": {nil, at(24 * time.Hour), nil},
		"allowed":   {at(8 * time.Hour), at(8 * time.Hour), nil},
		"too long":  {at(1000 * time.Hour), at(24*time.Hour + time.Second), []string{"the gateway lets an intercept stay no longer than 24h, which is less than was asked for"}},
		"minutes":   {at(time.Hour), at(10 * time.Minute), []string{"the gateway lets an intercept stay no longer than 10m, which is less than was asked for"}},
	} {
		o := &v1alpha1.Intercept{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.Time{Time: made}}}
		o.Spec.Expires, o.Status.Expires = test.asked, test.allowed
		if got := Describe(o).Notes; !slices.Equal(got, test.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
