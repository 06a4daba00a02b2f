// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

func TestUpdatesThatAskForSomething(t *testing.T) {
	gone := metav1.NewTime(time.Unix(1, 0))
	before := v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{UID: "a", Generation: 1, ResourceVersion: "1"}}
	for name, c := range map[string]struct {
		after metav1.ObjectMeta
		asks  bool
	}{
		"another status":         {metav1.ObjectMeta{UID: "a", Generation: 1, ResourceVersion: "2"}, false},
		"another spec":           {metav1.ObjectMeta{UID: "a", Generation: 2, ResourceVersion: "2"}, true},
		"deleted and made again": {metav1.ObjectMeta{UID: "b", Generation: 1, ResourceVersion: "3"}, true},
		"about to be deleted":    {metav1.ObjectMeta{UID: "a", Generation: 1, DeletionTimestamp: &gone}, true},
	} {
		after := v1alpha1.Connection{ObjectMeta: c.after}
		if got := asking.Update(event.UpdateEvent{ObjectOld: before.DeepCopy(), ObjectNew: &after}); got != c.asks {
			t.Errorf("%s: asks %v, want %v", name, got, c.asks)
		}
	}
}
