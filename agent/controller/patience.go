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
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/watchlist"
)

const (
	// askAgainAfter is how long a watch waits before it asks an API server again that did not answer. One gateway asks
	// for about six kinds of objects, so this is no load.
	askAgainAfter = 500 * time.Millisecond
	// askAgainFor bounds that; then client-go's own, slower ways begin.
	askAgainFor = 5 * time.Minute
)

// NewPatientInformer makes an informer that sees changes soon after an API server that was away is back. client-go's own
// (reflector.go) waits each time that a request fails or a watch ends with an error: 0.8 s at first, twice as long each
// time, up to a minute, and begins anew only after two minutes without a wait. A restarted API server ends every
// watch with such an error, because it does not remember the resource version that the watch is to go on from. Here
// requests that fail are made again every askAgainAfter, and watches last (lastingWatch), so that there is nothing left
// to wait for.
func NewPatientInformer(lw cache.ListerWatcher, object runtime.Object, resync time.Duration, indexers cache.Indexers) cache.SharedIndexInformer {
	p := &patient{inner: cache.ToListerWatcherWithContext(lw), prototype: object, pause: askAgainAfter}
	informer := cache.NewSharedIndexInformer(p, object, resync, indexers)
	p.store = informer.GetStore()
	return informer
}

// patient asks again when the API server does not answer. It serves one reflector, whose calls do not overlap.
type patient struct {
	inner     cache.ListerWatcherWithContext
	prototype runtime.Object
	store     cache.Store // what the informer knows; it may lag behind what it was told
	pause     time.Duration
	known     versions // what the reflector was told
}

// List implements cache.ListerWatcher.
func (p *patient) List(options metav1.ListOptions) (runtime.Object, error) {
	return p.ListWithContext(context.Background(), options)
}

// Watch implements cache.ListerWatcher.
func (p *patient) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return p.WatchWithContext(context.Background(), options)
}

// ListWithContext implements cache.ListerWatcherWithContext.
func (p *patient) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	list, err := p.list(ctx, options)
	if err != nil {
		return nil, err
	}
	if options.Continue == "" {
		p.known = versions{}
	}
	return list, meta.EachListItem(list, func(object runtime.Object) error {
		p.known.note(watch.Added, object)
		return nil
	})
}

// WatchWithContext implements cache.ListerWatcherWithContext.
func (p *patient) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	first, err := p.open(ctx, options)
	if err != nil {
		return nil, err
	}
	if p.known == nil || options.SendInitialEvents != nil && *options.SendInitialEvents {
		p.known = versions{}
	}
	return startLastingWatch(ctx, p, options, p.known, first), nil
}

// IsWatchListSemanticsUnSupported says what the wrapped one does, to client-go.
func (p *patient) IsWatchListSemanticsUnSupported() bool {
	return watchlist.DoesClientNotSupportWatchListSemantics(p.inner)
}

func (p *patient) list(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	return askAgain(ctx, p.pause, func() (runtime.Object, error) {
		list, err := p.inner.ListWithContext(ctx, options)
		return list, startingUp(err)
	})
}

func (p *patient) open(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return askAgain(ctx, p.pause, func() (watch.Interface, error) {
		stream, err := p.inner.WatchWithContext(ctx, options)
		return stream, startingUp(err)
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
