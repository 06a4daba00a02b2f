// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/flows"
)

// fillWithin is how long the watches of a namespace may take to begin before that is called a problem.
const fillWithin = 3 * time.Second

// maxRest bounds the pause between two looks at a namespace.
const maxRest = 100 * time.Millisecond

// podSecurityLabel holds a namespace to a Pod Security level (KEP-2579).
const podSecurityLabel = "pod-security.kubernetes.io/enforce"

// namespace is the worker of one namespace. Its memory is its goroutine's own.
type namespace struct {
	controller *Controller
	name       string
	woken      chan struct{}
	births     atomic.Pointer[births]

	// Of its goroutine.
	cache  cache.Cache
	memory *memory
	busy   map[string]bool // writes under way

	mu       sync.Mutex
	finished []func() // what writes that ended have to say
}

// errNoGateways says that it is not known yet where sidecars reach the gateway.
var errNoGateways = errors.New("where sidecars reach the gateway is not known yet")

// births is what Inject needs to know.
type births struct {
	byRoot map[workload]birth
	world  *world
}

func newNamespace(c *Controller, name string) *namespace {
	return &namespace{controller: c, name: name, woken: make(chan struct{}, 1), memory: newMemory(), busy: make(map[string]bool)}
}

// wake has the namespace looked at. It never blocks.
func (n *namespace) wake() {
	select {
	case n.woken <- struct{}{}:
	default:
	}
}

// run looks at the namespace whenever something happens, until there has been nothing to look at for some minutes.
func (n *namespace) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	filled := n.fill(ctx)
	began, idleSince := time.Now(), time.Now()
	for {
		timer := time.NewTimer(lookEvery)
		select {
		case <-ctx.Done():
			return
		case <-n.woken:
		case <-timer.C:
		case <-filled:
			filled = nil
		}
		timer.Stop()
		if filled != nil {
			if time.Since(began) > fillWithin {
				n.sayUnfilled(ctx)
			}
			continue
		}
		before := time.Now()
		busy, err := n.look(ctx)
		pace(ctx, time.Since(before))
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errNoGateways):
		case err != nil:
			n.controller.options.Log.Error("look at intercepts", "namespace", n.name, "error", err)
		case busy:
			idleSince = time.Now()
		case time.Since(idleSince) > stopAfter && n.controller.leave(n):
			for uid, known := range n.memory.pods {
				if known.ordered {
					n.controller.options.Flows.RemovePod(uid)
				}
			}
			return
		}
		if !busy && err == nil && n.idle(ctx) {
			return
		}
	}
}

// pace keeps a namespace with very many pods, of which something is always new, from taking more than a quarter of a
// processor.
func pace(ctx context.Context, took time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(min(3*took, maxRest)):
	}
}

// idle waits while there is nothing to do; it reports whether ctx has ended.
func (n *namespace) idle(ctx context.Context) bool {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return true
	case <-n.woken:
		n.wake()
	case <-timer.C:
	}
	return false
}

// fill starts the watches; the channel is closed when they have everything.
func (n *namespace) fill(ctx context.Context) <-chan struct{} {
	filled := make(chan struct{})
	c := n.controller
	c.parts.Go(func() {
		for ctx.Err() == nil {
			err := n.start(ctx)
			if err == nil {
				close(filled)
				return
			}
			if ctx.Err() == nil {
				c.options.Log.Error("watch a namespace", "namespace", n.name, "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
	return filled
}

func (n *namespace) start(ctx context.Context) error {
	made, err := newNamespaceCache(n.controller.config, n.controller.http, n.controller.scheme, n.name)
	if err != nil {
		return err
	}
	if err := follow(ctx, made, n.wake); err != nil {
		return err
	}
	n.controller.parts.Go(func() {
		if err := made.Start(ctx); err != nil && ctx.Err() == nil {
			n.controller.options.Log.Error("watch a namespace", "namespace", n.name, "error", err)
		}
	})
	if !made.WaitForCacheSync(ctx) {
		return fmt.Errorf("the watches of namespace %s did not fill", n.name)
	}
	n.cache = made // the channel that is closed next hands it over
	return nil
}

// look decides, and has done what was decided. It reports whether there is anything to look after.
func (n *namespace) look(ctx context.Context) (bool, error) {
	n.mu.Lock()
	finished := n.finished
	n.finished = nil
	n.mu.Unlock()
	for _, f := range finished {
		f()
	}
	w, err := n.world(ctx)
	if err != nil {
		return true, err
	}
	p := decide(w, n.memory, owned{Sidecars: n.controller.options.Flows, namespace: n})
	n.births.Store(&births{byRoot: p.births, world: w})
	n.carryOut(ctx, p)
	lingering := false
	for _, known := range n.memory.pods {
		lingering = lingering || known.ordered && !known.native
	}
	return len(w.intercepts) > 0 || lingering || n.memory.pointed() || len(n.busy) > 0, nil
}

// world gathers what decisions are made from, out of caches.
func (n *namespace) world(ctx context.Context) (*world, error) {
	c := n.controller
	w := &world{
		now: time.Now(), started: c.started, policy: c.options.Policy, gateway: c.options.Namespace, namespace: n.name,
		replicaSets: make(map[string]owner), connections: make(map[string]*v1alpha1.Connection), nodes: make(map[string][]netip.Addr),
		sidecars: c.options.Sidecar, heard: c.options.Laptops.Heard, state: c.options.Flows.State,
	}
	gateways := c.gateways.Load()
	if gateways == nil {
		return nil, errNoGateways
	}
	w.sidecars.Gateways = *gateways
	var intercepts v1alpha1.InterceptList
	var pods corev1.PodList
	var services corev1.ServiceList
	replicaSets := &metav1.PartialObjectMetadataList{}
	kind, _ := kindOf("ReplicaSet")
	replicaSets.SetGroupVersionKind(kind.GroupVersion().WithKind("ReplicaSetList"))
	for _, read := range []struct {
		from client.Reader
		list client.ObjectList
	}{{c.client, &intercepts}, {n.cache, &pods}, {n.cache, &services}, {n.cache, replicaSets}} {
		if err := read.from.List(ctx, read.list, client.InNamespace(n.name), client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list %T: %w", read.list, err)
		}
	}
	w.intercepts, w.pods, w.services = intercepts.Items, pods.Items, services.Items
	for i := range replicaSets.Items {
		w.replicaSets[replicaSets.Items[i].Name] = controllerOf(&replicaSets.Items[i])
	}
	if err := n.surroundings(ctx, w); err != nil {
		return nil, err
	}
	return w, nil
}

// surroundings reads what is not of the namespace.
func (n *namespace) surroundings(ctx context.Context, w *world) error {
	c := n.controller
	var connections v1alpha1.ConnectionList
	if err := c.client.List(ctx, &connections, client.InNamespace(c.options.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list connections: %w", err)
	}
	for i := range connections.Items {
		connection := &connections.Items[i]
		if connection.DeletionTimestamp == nil {
			w.connections[connection.Name] = connection
			delete(n.memory.connections, connection.Name)
		}
	}
	var nodes corev1.NodeList
	if err := c.client.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	for i := range nodes.Items {
		w.nodes[nodes.Items[i].Name] = probeSources(&nodes.Items[i])
	}
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := c.client.Get(ctx, client.ObjectKey{Name: n.name}, metadata); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read namespace: %w", err)
	}
	w.level = metadata.Labels[podSecurityLabel]
	return nil
}

// probeSources are the addresses from where a node's kubelet probes pods: the node's own, and the first of its pod ranges,
// which the bridge of many network plugins has.
func probeSources(node *corev1.Node) []netip.Addr {
	var addresses []netip.Addr
	for _, entry := range node.Status.Addresses {
		if address, err := netip.ParseAddr(entry.Address); err == nil {
			addresses = append(addresses, address)
		}
	}
	for _, text := range node.Spec.PodCIDRs {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			addresses = append(addresses, prefix.Masked().Addr().Next())
		}
	}
	return addresses
}

// owned notes whose pods sidecars are told of.
type owned struct {
	Sidecars
	namespace *namespace
}

// SetPod implements Sidecars.
func (o owned) SetPod(pod flows.Pod) {
	o.namespace.controller.setOwner(pod.UID, o.namespace)
	o.Sidecars.SetPod(pod)
}
