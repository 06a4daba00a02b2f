// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

const (
	// askAgainAfter is how long a watch waits before it asks an API server again that did not answer. One gateway asks
	// for about six kinds of objects, so this is no load.
	askAgainAfter = 500 * time.Millisecond
	// askAgainFor bounds that; then client-go's own, slower ways begin.
	askAgainFor = 5 * time.Minute
)

// NewPatientInformer makes an informer that asks an API server that does not answer again at once, where client-go's
// waits up to 30 s and, once it has had to wait, remembers that for two minutes (reflector.go). It covers requests that
// fail. It does not cover a watch that goes silent without an error: Connections are then seen at the next look.
func NewPatientInformer(lw cache.ListerWatcher, object runtime.Object, resync time.Duration, indexers cache.Indexers) cache.SharedIndexInformer {
	return cache.NewSharedIndexInformer(patient{cache.ToListerWatcherWithContext(lw)}, object, resync, indexers)
}

// patient asks again when the API server does not answer.
type patient struct {
	inner cache.ListerWatcherWithContext
}

// List implements cache.ListerWatcher.
func (p patient) List(options metav1.ListOptions) (runtime.Object, error) {
	return p.ListWithContext(context.Background(), options)
}

// Watch implements cache.ListerWatcher.
func (p patient) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return p.WatchWithContext(context.Background(), options)
}

// ListWithContext implements cache.ListerWatcherWithContext.
func (p patient) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	return askAgain(ctx, askAgainAfter, func() (runtime.Object, error) {
		list, err := p.inner.ListWithContext(ctx, options)
		return list, startingUp(err)
	})
}

// WatchWithContext implements cache.ListerWatcherWithContext.
func (p patient) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return askAgain(ctx, askAgainAfter, func() (watch.Interface, error) {
		events, err := p.inner.WatchWithContext(ctx, options)
		return events, startingUp(err)
	})
}

// startingUp turns "not found" into no answer: an API server that starts does not know custom resources at first, and
// kinds that it never knows are not watched.
func startingUp(err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the API server does not know the kind yet: %s", err.Error())
	}
	return err
}

// askAgain asks until there is an answer, be it a refusal, or ctx ends.
func askAgain[T any](ctx context.Context, pause time.Duration, ask func() (T, error)) (T, error) {
	for deadline := time.Now().Add(askAgainFor); ; {
		answer, err := ask()
		if err == nil || !noAnswer(err) || time.Now().After(deadline) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, err
		case <-time.After(pause):
		}
	}
}

// noAnswer reports whether an error says that the API server is not there, or not yet itself: while it starts it does
// not know its users and their rights.
func noAnswer(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return !errors.Is(err, context.Canceled)
	}
	starting := []int32{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable}
	return slices.Contains(starting, status.Status().Code)
}
