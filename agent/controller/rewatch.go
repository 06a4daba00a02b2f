// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"
)

// lastingWatch is a watch that does not end while the API server can be asked again. When the stream behind it ends, it
// opens another where that one stopped. When the API server no longer knows what happened since, which is what a
// restarted one says, it lists the objects and tells the difference as events.
type lastingWatch struct {
	source  *patient
	options metav1.ListOptions // of the first stream; the resource version moves on
	known   versions           // what the receiver was told
	synced  bool               // the receiver has had all objects; until then an end is the receiver's to deal with
	results chan watch.Event
	cancel  context.CancelFunc
	ended   chan struct{}
}

// versions is the resource version of each object that a receiver of events has, by the object's key.
type versions map[string]string

func (v versions) note(kind watch.EventType, object runtime.Object) {
	key, version := identify(object)
	if kind == watch.Deleted {
		delete(v, key)
	} else {
		v[key] = version
	}
}

func startLastingWatch(ctx context.Context, source *patient, options metav1.ListOptions, known versions, first watch.Interface) *lastingWatch {
	ctx, cancel := context.WithCancel(ctx)
	w := &lastingWatch{
		source: source, options: options, known: known, synced: options.SendInitialEvents == nil || !*options.SendInitialEvents,
		results: make(chan watch.Event), cancel: cancel, ended: make(chan struct{}),
	}
	go w.run(ctx, first)
	return w
}

// ResultChan implements watch.Interface.
func (w *lastingWatch) ResultChan() <-chan watch.Event { return w.results }

// Stop implements watch.Interface. When it returns, nothing more is noted as known.
func (w *lastingWatch) Stop() {
	w.cancel()
	<-w.ended
}

func (w *lastingWatch) run(ctx context.Context, stream watch.Interface) {
	defer close(w.ended)
	defer close(w.results)
	defer w.cancel()
	for {
		began := time.Now()
		end := w.forward(ctx, stream)
		stream.Stop()
		if ctx.Err() != nil {
			return
		}
		if !w.synced {
			w.report(ctx, end)
			return
		}
		select { // a stream that ends at once must not be asked for without pause
		case <-ctx.Done():
			return
		case <-time.After(w.source.pause - time.Since(began)):
		}
		var err error
		if stream, err = w.resume(ctx, expired(end)); err != nil {
			w.report(ctx, err)
			return
		}
	}
}

// forward hands on events until the stream ends, and returns the error that it ended with, if there was one.
func (w *lastingWatch) forward(ctx context.Context, stream watch.Interface) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, ok := <-stream.ResultChan():
			if !ok {
				return nil
			}
			if event.Type == watch.Error {
				return apierrors.FromObject(event.Object)
			}
			if !w.tell(ctx, event) {
				return ctx.Err()
			}
		}
	}
}

// tell sends an event and notes it once it is received. It reports whether it was.
func (w *lastingWatch) tell(ctx context.Context, event watch.Event) bool {
	select {
	case <-ctx.Done():
		return false
	case w.results <- event:
	}
	object, err := meta.Accessor(event.Object)
	if err != nil {
		return true
	}
	if event.Type != watch.Bookmark {
		w.known.note(event.Type, event.Object)
	} else if object.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
		w.synced = true
	}
	if w.synced { // the objects that a stream begins with are in no order
		w.options.ResourceVersion = object.GetResourceVersion()
	}
	return true
}

// resume opens a stream where the last one ended, or, where the API server does not remember that, after a list.
func (w *lastingWatch) resume(ctx context.Context, forgotten bool) (watch.Interface, error) {
	w.options.SendInitialEvents, w.options.ResourceVersionMatch = nil, ""
	if !forgotten {
		stream, err := w.source.open(ctx, w.options)
		if !expired(err) {
			return stream, err
		}
	}
	if err := w.catchUp(ctx); err != nil {
		return nil, err
	}
	return w.source.open(ctx, w.options)
}

// catchUp lists the objects and sends what differs from what the receiver knows.
func (w *lastingWatch) catchUp(ctx context.Context) error {
	list, err := w.source.listAtLeast(ctx, w.options)
	if err != nil {
		return err
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return fmt.Errorf("read list: %w", err)
	}
	version, err := meta.NewAccessor().ResourceVersion(list)
	if err != nil {
		return fmt.Errorf("read the list's version: %w", err)
	}
	for _, event := range w.difference(items, version) {
		if !w.tell(ctx, event) {
			return ctx.Err()
		}
	}
	return nil
}

// difference is the events that lead from what the receiver knows to items, and a bookmark of their version.
func (w *lastingWatch) difference(items []runtime.Object, version string) []watch.Event {
	var events []watch.Event
	there := make(map[string]bool, len(items))
	for _, item := range items {
		key, now := identify(item)
		there[key] = true
		switch before, ok := w.known[key]; {
		case !ok:
			events = append(events, watch.Event{Type: watch.Added, Object: item})
		case before != now:
			events = append(events, watch.Event{Type: watch.Modified, Object: item})
		}
	}
	for key := range w.known {
		if !there[key] {
			events = append(events, watch.Event{Type: watch.Deleted, Object: w.source.lastSeen(key, version)})
		}
	}
	return append(events, watch.Event{Type: watch.Bookmark, Object: w.source.blank("", "", version)})
}

// report tells the receiver of an error, which ends the watch for it.
func (w *lastingWatch) report(ctx context.Context, err error) {
	if err == nil {
		return
	}
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	status := known.Status()
	w.tell(ctx, watch.Event{Type: watch.Error, Object: &status})
}

// listAtLeast lists everything that options select, at their resource version or a later one.
func (p *patient) listAtLeast(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	page := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return p.list(ctx, options)
	})
	page.PageSize = 0 // only whole lists come from the API server's memory
	wanted := metav1.ListOptions{LabelSelector: options.LabelSelector, FieldSelector: options.FieldSelector, ResourceVersion: options.ResourceVersion}
	list, _, err := page.List(ctx, wanted)
	if expired(err) || apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		wanted.ResourceVersion = ""
		list, _, err = page.List(ctx, wanted)
	}
	return list, err
}

// lastSeen is an object that is gone: as the cache has it, or its name alone if it did not get that far.
func (p *patient) lastSeen(key, version string) runtime.Object {
	if p.store != nil {
		if item, ok, err := p.store.GetByKey(key); err == nil && ok {
			if object, ok := item.(runtime.Object); ok {
				object = object.DeepCopyObject()
				if err := meta.NewAccessor().SetResourceVersion(object, version); err == nil {
					return object
				}
			}
		}
	}
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		name = key
	}
	return p.blank(namespace, name, version)
}

// blank is an object of the watched kind with nothing in it.
func (p *patient) blank(namespace, name, version string) runtime.Object {
	object := p.prototype.DeepCopyObject()
	if accessor, err := meta.Accessor(object); err == nil {
		accessor.SetNamespace(namespace)
		accessor.SetName(name)
		accessor.SetResourceVersion(version)
	}
	return object
}

// identify returns the key and the resource version of an object.
func identify(object runtime.Object) (key, version string) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return "", ""
	}
	return cache.MetaObjectToName(accessor).String(), accessor.GetResourceVersion()
}

// expired reports whether the API server says that it does not remember a resource version.
func expired(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
}
