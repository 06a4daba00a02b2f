// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// forgetful is an API server with Services that can be restarted: it then ends every stream and remembers no change.
type forgetful struct {
	mu       sync.Mutex
	version  int
	oldest   int           // changes after this version are remembered
	changes  []watch.Event // those it remembers, the first of them is of version oldest+1
	services map[string]corev1.Service
	streams  map[*watch.RaceFreeFakeWatcher]bool
	away     bool
	lists    int
}

func newForgetful() *forgetful {
	return &forgetful{services: map[string]corev1.Service{}, streams: map[*watch.RaceFreeFakeWatcher]bool{}}
}

func (f *forgetful) List(context.Context, metav1.ListOptions) (runtime.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists++
	if f.away {
		return nil, errors.New("connection refused")
	}
	list := &corev1.ServiceList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(f.version)}}
	for _, name := range slices.Sorted(maps.Keys(f.services)) {
		list.Items = append(list.Items, f.services[name])
	}
	return list, nil
}

func (f *forgetful) Watch(_ context.Context, options metav1.ListOptions) (watch.Interface, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, errors.New("connection refused")
	}
	stream := watch.NewRaceFreeFake()
	from, err := strconv.Atoi(options.ResourceVersion)
	if err != nil || from < f.oldest {
		status := apierrors.NewResourceExpired("too old resource version").Status()
		stream.Error(&status)
		stream.Stop()
		return stream, nil
	}
	for _, change := range f.changes[from-f.oldest:] {
		stream.Action(change.Type, change.Object.DeepCopyObject())
	}
	f.streams[stream] = true
	return stream, nil
}

// set makes, changes or, without a label, removes a Service.
func (f *forgetful) set(name, label string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++
	before, was := f.services[name]
	service := corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, Labels: map[string]string{"is": label}, ResourceVersion: strconv.Itoa(f.version),
	}}
	if label == "" {
		before.ResourceVersion = strconv.Itoa(f.version)
		delete(f.services, name)
	} else {
		f.services[name] = service
	}
	change := watch.Event{Type: watch.Added, Object: &service}
	switch {
	case label == "":
		change = watch.Event{Type: watch.Deleted, Object: &before}
	case was:
		change.Type = watch.Modified
	}
	f.changes = append(f.changes, change)
	for stream := range f.streams {
		stream.Action(change.Type, change.Object.DeepCopyObject())
	}
}

// stop ends every stream, with an error if there is one, and refuses requests until start.
func (f *forgetful) stop(reason *metav1.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = true
	for stream := range f.streams {
		if reason != nil {
			stream.Error(reason)
		}
		stream.Stop()
	}
	clear(f.streams)
}

func (f *forgetful) start() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++ // something else has changed in the meantime
	f.away, f.oldest, f.changes = false, f.version, nil
}

// informed runs a patient informer of the server and returns it with the channel of what its handler is told.
func informed(t *testing.T, server *forgetful) (cache.SharedIndexInformer, <-chan string) {
	t.Helper()
	source := &cache.ListWatch{ListWithContextFunc: server.List, WatchFuncWithContext: server.Watch}
	p := &patient{inner: withoutInitialEvents{source}, prototype: &corev1.Service{}, pause: time.Millisecond}
	informer := cache.NewSharedIndexInformer(p, &corev1.Service{}, 0, cache.Indexers{})
	p.store = informer.GetStore()
	told := make(chan string, 100)
	tell := func(what string) func(any) {
		return func(object any) {
			service := object.(*corev1.Service)
			told <- what + " " + service.Name + " " + service.Labels["is"]
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: tell("add"), DeleteFunc: tell("delete"),
		UpdateFunc: func(_, object any) { tell("update")(object) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); informer.RunWithContext(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return informer, told
}

// withoutInitialEvents is a server that is too old for lists that are streamed.
type withoutInitialEvents struct{ *cache.ListWatch }

func (withoutInitialEvents) IsWatchListSemanticsUnSupported() bool { return true }

func hear(t *testing.T, told <-chan string, want ...string) {
	t.Helper()
	got := map[string]bool{}
	for range want {
		select {
		case event := <-told:
			got[event] = true
		case <-time.After(20 * time.Second): // client-go's own wait would grow to a minute by then
			t.Fatalf("told %v in the end, want %v", slices.Sorted(maps.Keys(got)), want)
		}
	}
	for _, event := range want {
		if !got[event] {
			t.Fatalf("told %v, want %v", slices.Sorted(maps.Keys(got)), want)
		}
	}
}

func TestInformerOutlivesRestartsOfTheAPIServer(t *testing.T) {
	server := newForgetful()
	server.set("stays", "a")
	server.set("changes", "a")
	server.set("goes", "a")
	informer, told := informed(t, server)
	hear(t, told, "add stays a", "add changes a", "add goes a")
	// A reflector that were left to itself would wait for over an hour in all.
	for i := range 100 {
		var reason *metav1.Status
		if i%2 == 0 {
			reason = &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Message: "client connection lost"}
		}
		label := strconv.Itoa(i)
		server.stop(reason)
		server.set("goes", "")
		server.set("changes", label)
		server.set("comes", label)
		server.start()
		hear(t, told, "delete goes a", "update changes "+label, "add comes "+label)
		server.set("goes", "a")
		server.set("comes", "")
		hear(t, told, "add goes a", "delete comes "+label)
	}
	if got := informer.GetStore().ListKeys(); len(got) != 3 {
		t.Errorf("the cache has %v", got)
	}
}

func TestWatchGoesOnWhereItStopped(t *testing.T) {
	server := newForgetful()
	server.set("a", "1")
	_, told := informed(t, server)
	hear(t, told, "add a 1")
	for i := range 20 {
		name := strconv.Itoa(i)
		server.set("b"+name, "1")
		hear(t, told, "add b"+name+" 1")
		server.mu.Lock()
		for stream := range server.streams { // as the API server does every few minutes
			stream.Stop()
		}
		clear(server.streams)
		server.mu.Unlock()
		awaitStream(t, server)
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	if server.lists != 1 {
		t.Errorf("listed %d times, although nothing was forgotten", server.lists)
	}
}

func awaitStream(t *testing.T, server *forgetful) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		server.mu.Lock()
		open := len(server.streams)
		server.mu.Unlock()
		if open > 0 {
			return
		}
	}
	t.Fatal("the watch was not opened again")
}

func TestDeletedAreShownAsLastSeen(t *testing.T) {
	store := cache.NewStore(cache.MetaNamespaceKeyFunc)
	if err := store.Add(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "known", Labels: map[string]string{"is": "a"}}}); err != nil {
		t.Fatal(err)
	}
	p := &patient{prototype: &corev1.Service{}, store: store}
	for key, label := range map[string]string{"shop/known": "a", "shop/unknown": ""} {
		service, ok := p.lastSeen(key, "7").(*corev1.Service)
		if !ok || service.Namespace+"/"+service.Name != key || service.ResourceVersion != "7" || service.Labels["is"] != label {
			t.Errorf("%s is seen last as %+v", key, service)
		}
	}
	if item, _, _ := store.GetByKey("shop/known"); item.(*corev1.Service).ResourceVersion != "" {
		t.Error("the cache's own object was changed")
	}
}
