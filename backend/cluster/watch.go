// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// watched names one object that is followed, and how what happens to it is told.
type watched struct {
	resource        schema.GroupVersionResource
	namespace, name string
	gone            error // that it has been deleted
	explain         func(ctx context.Context, err error, verb, namespace string) error
}

// watchAs is watchObject for one kind of ours.
func watchAs[T any](ctx context.Context, a *Access, w watched, since string, each func(*T) error) error {
	return a.watchObject(ctx, w, since, func(object runtime.Object) error {
		decoded, err := decode[T](object)
		if err != nil {
			return err
		}
		return each(decoded)
	})
}

// decode makes one kind of ours of what the dynamic client returned.
func decode[T any](object runtime.Object) (*T, error) {
	decoded := new(T)
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("decode %T: unexpected %T", decoded, object)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, decoded); err != nil {
		return nil, fmt.Errorf("decode %T: %w", decoded, err)
	}
	return decoded, nil
}

// watchObject calls each with an object after each change, until that fails or the watch ends; it always returns an
// error. It begins after since, a resourceVersion, or, when that is empty, with the object as it is.
func (a *Access) watchObject(ctx context.Context, w watched, since string, each func(runtime.Object) error) error {
	if since != "" {
		return a.watchSince(ctx, w, since, each)
	}
	// Without a resourceVersion, a watch begins with the object as it is, if it is there; a bookmark then says that
	// this was all (KEP-3157), so that an object that is missing is noticed.
	yes := true
	stream, err := a.objects.Resource(w.resource).Namespace(w.namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector:        fields.OneTermEqualSelector("metadata.name", w.name).String(),
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		SendInitialEvents:    &yes,
		AllowWatchBookmarks:  true,
	})
	if apierrors.IsInvalid(err) { // before WatchList
		return a.pollThenWatch(ctx, w, each)
	}
	if err != nil {
		return w.explain(ctx, err, "watch", w.namespace)
	}
	defer stream.Stop()
	return follow(ctx, stream, w, false, each)
}

// pollThenWatch is watchObject for API servers that can't send the initial state in a watch.
func (a *Access) pollThenWatch(ctx context.Context, w watched, each func(runtime.Object) error) error {
	object, err := a.objects.Resource(w.resource).Namespace(w.namespace).Get(ctx, w.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return w.gone
	}
	if err != nil {
		return w.explain(ctx, err, "get", w.namespace)
	}
	if err := each(object); err != nil {
		return err
	}
	return a.watchSince(ctx, w, object.GetResourceVersion(), each)
}

func (a *Access) watchSince(ctx context.Context, w watched, since string, each func(runtime.Object) error) error {
	stream, err := a.objects.Resource(w.resource).Namespace(w.namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector("metadata.name", w.name).String(),
		ResourceVersion: since,
	})
	if err != nil {
		return w.explain(ctx, err, "watch", w.namespace)
	}
	defer stream.Stop()
	return follow(ctx, stream, w, true, each)
}

// follow hands on what a watch brings. seen says that the object is known to be there.
func follow(ctx context.Context, stream watch.Interface, w watched, seen bool, each func(runtime.Object) error) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, ok := <-stream.ResultChan():
			if !ok {
				return ErrWatchEnded
			}
			switch event.Type {
			case watch.Added, watch.Modified:
				seen = true
				if err := each(event.Object); err != nil {
					return err
				}
			case watch.Deleted:
				return w.gone
			case watch.Bookmark:
				if !seen {
					return w.gone
				}
			case watch.Error:
				return w.explain(ctx, apierrors.FromObject(event.Object), "watch", w.namespace)
			}
		}
	}
}
