// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

// workloadResources are what a list of workloads is made of.
var workloadResources = []schema.GroupVersionResource{
	{Group: "apps", Version: "v1", Resource: "deployments"},
	{Group: "apps", Version: "v1", Resource: "statefulsets"},
	{Group: "apps", Version: "v1", Resource: "daemonsets"},
	{Version: "v1", Resource: "pods"},
	{Version: "v1", Resource: "services"},
}

const (
	// firstPause and longestPause are the waits before a watch that failed is begun anew. One that is refused waits for
	// refusedPause: rights come seldom.
	firstPause   = 500 * time.Millisecond
	longestPause = 15 * time.Second
	refusedPause = time.Minute
	// steadyAfter is how long a watch must have lasted for its end to be nothing unusual: API servers end them every few
	// minutes.
	steadyAfter = 30 * time.Second
)

// WatchWorkloadChanges calls changed whenever the workloads of a namespace, or of all with "", may have changed, until
// ctx is done. It asks for names only and keeps nothing. What the user may not watch in all namespaces it watches in
// fallback, and what they may not watch there, not at all. changed may be called from several goroutines.
func (a *Access) WatchWorkloadChanges(ctx context.Context, namespace, fallback string, changed func()) error {
	names, err := metadata.NewForConfigAndClient(metadata.ConfigFor(a.config), a.client)
	if err != nil {
		return err
	}
	var watches sync.WaitGroup
	for _, resource := range workloadResources {
		watches.Go(func() {
			again(ctx, namespace, fallback, func(ctx context.Context, namespace string) error {
				// A list of one object costs nothing, and says from where on to watch.
				list, err := names.Resource(resource).Namespace(namespace).List(ctx, metav1.ListOptions{Limit: 1})
				if err != nil {
					return err
				}
				stream, err := names.Resource(resource).Namespace(namespace).Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
				if err != nil {
					return err
				}
				changed() // since the last list, which may be older
				return each(ctx, stream, func(watch.Event) error { changed(); return nil })
			})
		})
	}
	watches.Wait()
	return ctx.Err()
}

// WatchIntercepts calls show with all Intercepts of a namespace, or of all with "", as they are now and after each
// change, until ctx is done. Who may not see all is shown those of fallback, and who may not see those gets nothing.
func (a *Access) WatchIntercepts(ctx context.Context, namespace, fallback string, show func([]v1alpha1.Intercept)) error {
	again(ctx, namespace, fallback, func(ctx context.Context, namespace string) error {
		objects := a.objects.Resource(interceptResource).Namespace(namespace)
		list, err := objects.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		there := map[string]*v1alpha1.Intercept{}
		for i := range list.Items {
			intercept, err := decode[v1alpha1.Intercept](&list.Items[i])
			if err != nil {
				return err
			}
			there[intercept.Namespace+"/"+intercept.Name] = intercept
		}
		stream, err := objects.Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
		if err != nil {
			return err
		}
		show(listed(there))
		return each(ctx, stream, func(event watch.Event) error {
			intercept, err := decode[v1alpha1.Intercept](event.Object)
			if err != nil {
				return err
			}
			name := intercept.Namespace + "/" + intercept.Name
			if event.Type == watch.Deleted {
				delete(there, name)
			} else {
				there[name] = intercept
			}
			show(listed(there))
			return nil
		})
	})
	return ctx.Err()
}

func listed(there map[string]*v1alpha1.Intercept) []v1alpha1.Intercept {
	all := make([]v1alpha1.Intercept, 0, len(there))
	for _, intercept := range there {
		all = append(all, *intercept)
	}
	return all
}

// again does a watch again and again, until ctx is done: in namespace, or, once that is forbidden, in fallback.
func again(ctx context.Context, namespace, fallback string, do func(ctx context.Context, namespace string) error) {
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := do(ctx, namespace)
		forbidden := apierrors.IsForbidden(err)
		switch {
		case forbidden && namespace != fallback:
			namespace = fallback
			continue
		case time.Since(began) > steadyAfter || errors.Is(err, ErrWatchEnded):
			pause = firstPause
		}
		wait := pause
		if forbidden || apierrors.IsNotFound(err) {
			wait = refusedPause
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, longestPause)
	}
}

// each hands on what a watch brings, until it ends or do fails; it always returns an error.
func each(ctx context.Context, stream watch.Interface, do func(watch.Event) error) error {
	defer stream.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, ok := <-stream.ResultChan():
			switch {
			case !ok:
				return ErrWatchEnded
			case event.Type == watch.Error:
				return apierrors.FromObject(event.Object)
			case event.Type == watch.Bookmark:
				continue
			}
			if err := do(event); err != nil {
				return err
			}
		}
	}
}
