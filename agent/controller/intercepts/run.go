// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/fairlead-dev/fairlead/agent/api/restore"
	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/injector"
)

const (
	// stopAfter is how long the watches of a namespace go on after its last Intercept.
	stopAfter = 5 * time.Minute

	// lookEvery is how often a namespace with Intercepts is looked at without anything having happened: laptops that fall
	// silent don't say so.
	lookEvery = 250 * time.Millisecond

	// gatewaysEvery is how often it is looked where sidecars reach the gateway: the addresses of a Service stay.
	gatewaysEvery = time.Minute

	// pageSize bounds what one list of a large kind costs.
	pageSize = 500

	// maxWrites is how many writes to the API server are under way at most, those of pods in particular.
	maxWrites = 8
)

// Flows is what the controller needs of the server that sidecars connect to.
type Flows interface {
	Sidecars
	// Changes tells of pods about whose sidecar something changed.
	Changes() <-chan types.UID
}

// Laptops says when laptops were last heard.
type Laptops interface {
	// Heard is when the laptop of a Connection was last heard; zero for never.
	Heard(connection string) time.Time
}

// Options is what the controller needs besides the API server.
type Options struct {
	Namespace string // the gateway's
	Policy    Policy
	Sidecar   injector.Settings // without Gateways
	// Gateways asks the API server where sidecars reach the gateway.
	Gateways func(ctx context.Context) ([]netip.AddrPort, error)
	Flows    Flows
	Laptops  Laptops
	// Webhook has the API server ask about new pods of these namespaces. Nil: it is not asked.
	Webhook func(ctx context.Context, namespaces []string) error
	Log     *slog.Logger
}

// Controller answers Intercepts. Its methods are safe for concurrent use.
type Controller struct {
	options Options
	started time.Time
	ctx     context.Context // of Run
	client  client.Client   // of the manager: Intercepts, Connections, nodes and namespaces from its cache; writes
	config  *rest.Config
	http    *http.Client
	scheme  *runtime.Scheme
	reader  client.Reader // asks the API server about our own kinds
	direct  client.Client // asks the API server about workloads
	events  events.EventRecorder
	writes  chan struct{} // one for each write under way

	gateways atomic.Pointer[[]netip.AddrPort] // nil until they are known

	mu         sync.Mutex
	namespaces map[string]*namespace
	pods       map[types.UID]*namespace // whose sidecars are told of
	parts      sync.WaitGroup
	webhook    chan struct{} // the set of namespaces may have changed
}

// Warm starts the watch that Run uses, so that a standby has everything at hand when it takes over.
func Warm(ctx context.Context, mgr manager.Manager) error {
	if _, err := mgr.GetCache().GetInformer(ctx, &v1alpha1.Intercept{}, cache.BlockUntilSynced(false)); err != nil {
		return fmt.Errorf("watch intercepts: %w", err)
	}
	return nil
}

// Run answers Intercepts until ctx ends, in the background; wait ends when it has stopped. mgr's cache must be started, and
// controller.Run must have been called.
func Run(ctx context.Context, mgr manager.Manager, o Options) (c *Controller, wait func() error, err error) {
	c = &Controller{
		events:  mgr.GetEventRecorder(eventSource),
		options: o, started: time.Now(), ctx: ctx, client: mgr.GetClient(), reader: mgr.GetAPIReader(), config: mgr.GetConfig(), http: mgr.GetHTTPClient(),
		scheme: mgr.GetScheme(), writes: make(chan struct{}, maxWrites), namespaces: make(map[string]*namespace),
		pods: make(map[types.UID]*namespace), webhook: make(chan struct{}, 1),
	}
	if c.direct, err = client.New(c.config, client.Options{HTTPClient: c.http, Scheme: c.scheme, Mapper: newMapper()}); err != nil {
		return nil, nil, fmt.Errorf("make a client: %w", err)
	}
	if err := c.follow(ctx, mgr.GetCache()); err != nil {
		return nil, nil, err
	}
	c.parts.Go(func() { c.keepGateways(ctx) })
	c.parts.Go(func() { c.dispatch(ctx) })
	c.parts.Go(func() { c.keepWebhook(ctx) })
	c.parts.Go(func() { c.findPointed(ctx) })
	return c, func() error {
		<-ctx.Done()
		c.parts.Wait()
		return ctx.Err()
	}, nil
}

// follow has namespaces look again when their Intercepts, or Connections, change.
func (c *Controller) follow(ctx context.Context, from cache.Cache) error {
	intercepts, err := from.GetInformer(ctx, &v1alpha1.Intercept{})
	if err != nil {
		return fmt.Errorf("watch intercepts: %w", err)
	}
	connections, err := from.GetInformer(ctx, &v1alpha1.Connection{})
	if err != nil {
		return fmt.Errorf("watch connections: %w", err)
	}
	look := func(object any) {
		if gone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		if intercept, ok := object.(*v1alpha1.Intercept); ok {
			c.namespace(intercept.Namespace).wake()
			c.checkWebhook()
		}
	}
	_, err1 := intercepts.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: look, UpdateFunc: func(_, object any) { look(object) }, DeleteFunc: look,
	})
	_, err2 := connections.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { c.wakeAll() }, UpdateFunc: func(any, any) { c.wakeAll() }, DeleteFunc: func(any) { c.wakeAll() },
	})
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("watch intercepts and connections: %w", err)
	}
	return nil
}

// namespace returns a namespace's worker, which it starts if there is none.
func (c *Controller) namespace(name string) *namespace {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.namespaces[name]
	if n == nil {
		n = newNamespace(c, name)
		c.namespaces[name] = n
		c.parts.Go(func() { n.run(c.ctx) })
	}
	return n
}

// leave forgets a worker that stops, unless it was woken meanwhile.
func (c *Controller) leave(n *namespace) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-n.woken:
		n.wake()
		return false
	default:
	}
	delete(c.namespaces, n.name)
	for uid, other := range c.pods {
		if other == n {
			delete(c.pods, uid)
		}
	}
	return true
}

func (c *Controller) wakeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.namespaces {
		n.wake()
	}
}

// keepGateways finds out where sidecars reach the gateway, again from time to time.
func (c *Controller) keepGateways(ctx context.Context) {
	for {
		pause := gatewaysEvery
		found, err := c.options.Gateways(ctx)
		if err == nil {
			if before := c.gateways.Swap(&found); before == nil || !slices.Equal(*before, found) {
				c.wakeAll()
			}
		} else if ctx.Err() == nil {
			c.options.Log.Warn("find out where sidecars reach the gateway", "error", err)
			pause = time.Second
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// dispatch wakes the worker of each pod whose sidecar has something new.
func (c *Controller) dispatch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case uid := <-c.options.Flows.Changes():
			c.mu.Lock()
			if n := c.pods[uid]; n != nil {
				n.wake()
			}
			c.mu.Unlock()
		}
	}
}

func (c *Controller) setOwner(uid types.UID, n *namespace) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n == nil {
		delete(c.pods, uid)
	} else {
		c.pods[uid] = n
	}
}

func (c *Controller) checkWebhook() {
	select {
	case c.webhook <- struct{}{}:
	default:
	}
}

// keepWebhook has the API server ask about new pods where there are intercepts.
func (c *Controller) keepWebhook(ctx context.Context) {
	if c.options.Webhook == nil {
		return
	}
	var last []string
	known := false
	c.checkWebhook()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.webhook:
		}
		names, err := c.interceptedNamespaces(ctx)
		if err == nil && known && slices.Equal(names, last) {
			continue
		}
		if err == nil {
			err = c.options.Webhook(ctx, names)
		}
		if last, known = names, err == nil; err != nil && ctx.Err() == nil {
			c.options.Log.Warn("the webhook can't be kept: pods that are made now get their sidecars a moment later", "error", err)
			time.AfterFunc(5*time.Second, c.checkWebhook)
		}
	}
}

// interceptedNamespaces lists the namespaces with Intercepts that are not over, sorted.
func (c *Controller) interceptedNamespaces(ctx context.Context) ([]string, error) {
	var list v1alpha1.InterceptList
	if err := c.client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list intercepts: %w", err)
	}
	var names []string
	for i := range list.Items {
		item := &list.Items[i]
		over := item.Spec.Leaving || item.DeletionTimestamp != nil || item.Status.Phase == v1alpha1.InterceptEnded || item.Status.Phase == v1alpha1.InterceptRefused
		if !over && item.Namespace != c.options.Namespace {
			names = append(names, item.Namespace)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// findPointed looks once for Services that lead to sidecars since the time before this gateway, so that those are put back
// that no Intercept wants any more.
func (c *Controller) findPointed(ctx context.Context) {
	for ctx.Err() == nil {
		err := c.eachService(ctx, func(service *metav1.PartialObjectMetadata) {
			if _, pointed := service.Annotations[restore.Annotation]; pointed {
				c.namespace(service.Namespace).wake()
			}
		})
		if err == nil || ctx.Err() != nil {
			return
		}
		c.options.Log.Warn("look for services that lead to sidecars", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
}

func (c *Controller) eachService(ctx context.Context, f func(*metav1.PartialObjectMetadata)) error {
	list := &metav1.PartialObjectMetadataList{}
	for {
		list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceList"))
		if err := c.direct.List(ctx, list, client.Limit(pageSize), client.Continue(list.Continue)); err != nil {
			return fmt.Errorf("list services: %w", err)
		}
		for i := range list.Items {
			f(&list.Items[i])
		}
		if list.Continue == "" {
			return nil
		}
	}
}
