// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

const (
	// surveyPause is the least time between two surveys, so that a burst of changes in the cluster costs one.
	surveyPause = time.Second

	// surveyEvery is how often facts that no watch tells, such as a load balancer's addresses, are looked at again.
	surveyEvery = time.Minute
)

// Options is what the controller needs besides the API server.
type Options struct {
	Cluster     Cluster
	Pool        Pool
	Identity    Identity
	Peers       Peers
	ForgetAfter time.Duration
	Log         *slog.Logger
}

// CacheByObject limits a manager's cache to what the controller reads: Services and Connections of the gateway's own
// namespace, and of pods, nodes and namespaces only what it uses.
func CacheByObject(namespace string) map[client.Object]cache.ByObject {
	own := map[string]cache.Config{namespace: {}}
	return map[client.Object]cache.ByObject{
		&v1alpha1.Connection{}: {Namespaces: own},
		&corev1.Service{}:      {Namespaces: own},
		&corev1.Node{}:         {Transform: trimNode},
		&corev1.Pod{}:          {Transform: trimPod},
	}
}

// Warm starts the watches that Run uses, so that a standby has everything at hand when it takes over. It returns
// whether the API server has the ServiceCIDR API.
func Warm(ctx context.Context, mgr manager.Manager) (bool, error) {
	hasServiceCIDRs, err := serviceCIDRsServed(ctx, mgr.GetAPIReader())
	if err != nil {
		return false, err
	}
	objects := []client.Object{&v1alpha1.Connection{}, &corev1.Service{}, &corev1.Node{}, namespaceMetadata()}
	if hasServiceCIDRs {
		objects = append(objects, &networkingv1.ServiceCIDR{})
	}
	for _, object := range objects {
		if _, err := mgr.GetCache().GetInformer(ctx, object, cache.BlockUntilSynced(false)); err != nil {
			return false, fmt.Errorf("watch %T: %w", object, err)
		}
	}
	return hasServiceCIDRs, nil
}

// Run answers Connections until ctx ends. It returns after every Connection that was there has been taken up, and
// then carries on in the background; wait ends when it has stopped. mgr's cache must be started.
func Run(ctx context.Context, mgr manager.Manager, hasServiceCIDRs bool, o Options) (wait func() error, err error) {
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		return nil, errors.New("the caches of the API server did not fill")
	}
	survey := &surveyor{
		cluster: o.Cluster, cached: mgr.GetClient(), direct: mgr.GetClient(),
		resolver: net.DefaultResolver, log: o.Log, hasServiceCIDRs: hasServiceCIDRs,
	}
	survey.direct = directReader{Client: mgr.GetClient(), reader: mgr.GetAPIReader()}
	if survey.watchesPods, err = needsPods(ctx, survey); err != nil {
		return nil, err
	}
	facts, err := survey.survey(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at the cluster: %w", err)
	}

	var connections v1alpha1.ConnectionList
	if err := mgr.GetClient().List(ctx, &connections, client.InNamespace(o.Cluster.Namespace)); err != nil {
		return nil, fmt.Errorf("list connections: %w", err)
	}
	reconciler := &connectionReconciler{
		client: mgr.GetClient(), peers: o.Peers, identity: o.Identity, forgetAfter: o.ForgetAfter,
		started: time.Now(), now: time.Now, log: o.Log,
		ledger: restoreLedger(o.Pool, connections.Items), since: make(map[string]session),
	}
	reconciler.facts.Store(&facts)
	again := make(chan event.GenericEvent, 1)
	answering, err := connectionController(mgr, reconciler, again)
	if err != nil {
		return nil, err
	}
	surveying, err := surveyController(mgr, survey, reconciler, again, o.Cluster.Namespace)
	if err != nil {
		return nil, err
	}
	done := make(chan error, 2)
	for _, c := range []controller.Controller{answering, surveying} {
		go func() { done <- c.Start(ctx) }()
	}
	return func() error { return errors.Join(<-done, <-done) }, nil
}

func connectionController(mgr manager.Manager, r *connectionReconciler, again <-chan event.GenericEvent) (controller.Controller, error) {
	c, err := controller.NewUnmanaged("connection", controllerOptions(r))
	if err != nil {
		return nil, fmt.Errorf("make connection controller: %w", err)
	}
	if err := c.Watch(source.Kind(mgr.GetCache(), client.Object(&v1alpha1.Connection{}), &handler.EnqueueRequestForObject{}, asking)); err != nil {
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	// One event stands for all Connections: the cluster is not what they were told.
	all := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, _ client.Object) []reconcile.Request {
		var list v1alpha1.ConnectionList
		if err := mgr.GetClient().List(ctx, &list); err != nil {
			r.log.Error("list connections", "error", err)
			return nil
		}
		var requests []reconcile.Request
		for i := range list.Items {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
		return requests
	})
	if err := c.Watch(source.Channel(again, all)); err != nil {
		return nil, fmt.Errorf("watch the cluster's facts: %w", err)
	}
	return c, nil
}

// surveyController looks at the cluster again whenever something changes that Facts are made of.
func surveyController(mgr manager.Manager, s *surveyor, r *connectionReconciler, again chan<- event.GenericEvent, namespace string) (controller.Controller, error) {
	var last time.Time
	look := reconcile.Func(func(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
		if rest := surveyPause - time.Since(last); rest > 0 {
			return reconcile.Result{RequeueAfter: rest}, nil
		}
		last = time.Now()
		facts, err := s.survey(ctx)
		if err != nil {
			return reconcile.Result{}, err
		}
		if before := r.facts.Swap(&facts); !facts.equal(*before) {
			select {
			case again <- event.GenericEvent{Object: &v1alpha1.Connection{}}:
			default: // one is waiting already
			}
		}
		return reconcile.Result{RequeueAfter: surveyEvery}, nil
	})
	c, err := controller.NewUnmanaged("cluster", controllerOptions(look))
	if err != nil {
		return nil, fmt.Errorf("make cluster controller: %w", err)
	}
	kinds := []client.Object{&corev1.Service{}, &corev1.Node{}, namespaceMetadata()}
	if s.hasServiceCIDRs {
		kinds = append(kinds, &networkingv1.ServiceCIDR{})
	}
	if s.watchesPods {
		kinds = append(kinds, &corev1.Pod{})
	}
	one := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "cluster"}}}
	})
	for _, kind := range kinds {
		if err := c.Watch(source.Kind(mgr.GetCache(), kind, one, changed)); err != nil {
			return nil, fmt.Errorf("watch %T: %w", kind, err)
		}
	}
	return c, nil
}

// needsPods decides whether pods must be watched to know their ranges, which costs memory in large clusters.
func needsPods(ctx context.Context, s *surveyor) (bool, error) {
	ranges, _, err := s.rangeFacts(ctx)
	if err != nil {
		return false, fmt.Errorf("look at the cluster: %w", err)
	}
	needed := len(ranges.ConfiguredPods) == 0 && !ranges.TrustNodeRanges()
	if needed {
		s.log.Info("the nodes' pod ranges are missing or not what pods get: watching pods instead; the chart value cluster.podRanges spares that")
	}
	return needed, nil
}

func controllerOptions(r reconcile.Reconciler) controller.Options {
	unchecked := true // a process that becomes leader twice makes them twice
	return controller.Options{Reconciler: r, SkipNameValidation: &unchecked, Logger: logr.Discard()}
}

// directReader is a client whose reads ask the API server instead of the cache.
type directReader struct {
	client.Client
	reader client.Reader
}

func (d directReader) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	return d.reader.Get(ctx, key, o, opts...)
}

func (d directReader) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return d.reader.List(ctx, list, opts...)
}

// asking drops updates that ask for nothing: the gateway's own writes to a status. An object that was deleted and made
// again while the watch was interrupted, as by somebody who connects anew, is seen as an update too: of another UID,
// and of the same generation.
var asking = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, after := e.ObjectOld, e.ObjectNew
	return before.GetUID() != after.GetUID() || before.GetGeneration() != after.GetGeneration() || after.GetDeletionTimestamp() != nil
}}

// changed drops updates that change nothing of what the cache keeps, such as the heartbeats of nodes.
var changed = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, after := e.ObjectOld.DeepCopyObject().(client.Object), e.ObjectNew.DeepCopyObject().(client.Object)
	for _, object := range []client.Object{before, after} {
		object.SetResourceVersion("")
		object.SetManagedFields(nil)
	}
	return !reflect.DeepEqual(before, after)
}}

func namespaceMetadata() client.Object {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return object
}

// trimNode keeps of a node what describeNode and rangeFacts use.
func trimNode(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	trimmed := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion},
		Spec:       corev1.NodeSpec{PodCIDRs: node.Spec.PodCIDRs},
		Status:     corev1.NodeStatus{Addresses: node.Status.Addresses},
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			trimmed.Status.Conditions = []corev1.NodeCondition{{Type: condition.Type, Status: condition.Status}}
		}
	}
	return trimmed, nil
}

// trimPod keeps of a pod what podAddresses uses.
func trimPod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID, ResourceVersion: pod.ResourceVersion},
		Spec:       corev1.PodSpec{HostNetwork: pod.Spec.HostNetwork},
		Status:     corev1.PodStatus{Phase: pod.Status.Phase, PodIPs: pod.Status.PodIPs},
	}, nil
}
