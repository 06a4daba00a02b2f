// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

func BenchmarkDecide(b *testing.B) {
	s := newStage(nil)
	for i := range 500 {
		s.pod(fmt.Sprintf("api-%d", i))
	}
	for i := range 50 {
		s.service(fmt.Sprintf("api-%d", i), intstr.FromInt32(8080))
	}
	for i := range 10 {
		s.intercept("ana", key(fmt.Sprintf("key-%d", i)), func(o *v1alpha1.Intercept) {
			o.Name = fmt.Sprintf("n%d", i)
			o.UID = types.UID(o.Name)
		})
	}
	for range 4 {
		s.look()
		s.work(wire.Accepted)
	}
	for b.Loop() {
		s.w.selections = nil
		decide(&s.w, s.m, s.sidecars)
	}
}
