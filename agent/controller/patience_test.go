// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestAskAgain(t *testing.T) {
	kind := schema.GroupResource{Resource: "connections"}
	for name, c := range map[string]struct {
		errs  []error
		asked int
		fails bool
	}{
		"answers":            {nil, 1, false},
		"comes back":         {[]error{errors.New("connection refused"), apierrors.NewForbidden(kind, "", nil)}, 3, false},
		"refuses for good":   {[]error{apierrors.NewResourceExpired("too old")}, 1, true},
		"does not know it":   {[]error{apierrors.NewNotFound(kind, "")}, 1, true},
		"the caller is done": {[]error{context.Canceled}, 1, true},
	} {
		asked := 0
		_, err := askAgain(t.Context(), time.Microsecond, func() (int, error) {
			asked++
			if asked <= len(c.errs) {
				return 0, c.errs[asked-1]
			}
			return 1, nil
		})
		if asked != c.asked || (err != nil) != c.fails {
			t.Errorf("%s: asked %d times, error %v", name, asked, err)
		}
	}
}

func TestAskAgainEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := askAgain(ctx, time.Hour, func() (int, error) { return 0, errors.New("connection refused") }); err == nil {
		t.Error("no error, although nobody answered")
	}
}
