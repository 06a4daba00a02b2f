// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/injector"
)

// writeTimeout bounds one write to the API server, admission included.
const writeTimeout = 15 * time.Second

// carryOut does what was decided. Nothing is waited for.
func (n *namespace) carryOut(ctx context.Context, p plan) {
	for _, change := range p.services { // first: callers depend on it
		n.changeService(ctx, change)
	}
	for _, i := range p.injections {
		n.inject(ctx, i)
	}
	for _, change := range p.statuses {
		n.writeStatus(ctx, change)
	}
	for _, intercept := range p.deletions {
		n.delete(ctx, intercept)
	}
	for _, ref := range p.lookups {
		n.lookUp(ctx, ref)
	}
	for _, name := range p.connections {
		n.lookUpConnection(ctx, name)
	}
}

// do carries out a write in the background, and then tells the worker how it went. It does nothing while one of that name
// is under way.
func (n *namespace) do(ctx context.Context, name string, write func(context.Context) error, done func(error)) {
	if n.busy[name] {
		return
	}
	n.busy[name] = true
	c := n.controller
	c.parts.Go(func() {
		select {
		case c.writes <- struct{}{}:
		case <-ctx.Done():
			return
		}
		ctx, cancel := context.WithTimeout(ctx, writeTimeout)
		err := write(ctx)
		cancel()
		<-c.writes
		n.mu.Lock()
		n.finished = append(n.finished, func() {
			delete(n.busy, name)
			done(err)
		})
		n.mu.Unlock()
		n.wake()
	})
}

// inject adds a sidecar to a pod.
func (n *namespace) inject(ctx context.Context, i injection) {
	pod, root := i.member.pod, i.member.chain[len(i.member.chain)-1]
	known := n.memory.pod(pod.UID)
	known.trying = true
	known.tries = append(known.tries, time.Now())
	began := time.Now()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"ephemeralContainers": []corev1.EphemeralContainer{i.container}}})
	n.do(ctx, "pod/"+string(pod.UID), func(ctx context.Context) error {
		if err != nil {
			return err
		}
		target := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}
		return n.controller.client.SubResource("ephemeralcontainers").Patch(ctx, target, client.RawPatch(types.StrategicMergePatchType, patch))
	}, func(err error) {
		known.trying = false
		known.problem = ""
		switch {
		case err == nil:
			known.added[i.container.Name] = i.mode
			n.controller.options.Log.Info("added a sidecar", "namespace", pod.Namespace, "pod", pod.Name, "container", i.container.Name, "mode", i.mode, "took", time.Since(began))
		case apierrors.IsNotFound(err):
			known.container = ""
		default:
			known.container, known.problem = "", n.whyNot(err, i.mode)
			if i.mode == injector.Instant && admission(err) {
				n.memory.root(root).noInstant = known.problem
			}
			n.controller.options.Log.Warn("add a sidecar", "namespace", pod.Namespace, "pod", pod.Name, "error", err)
		}
	})
}

// whyNot says why a sidecar could not be added.
func (n *namespace) whyNot(err error, mode injector.Mode) string {
	switch {
	case admission(err):
		return fmt.Sprintf("the cluster refuses a container with what the %s way needs: %s", mode, reasonOf(err))
	case apierrors.IsForbidden(err):
		return "the gateway may not add containers to pods: its ClusterRole lacks patch on pods/ephemeralcontainers"
	}
	return "its sidecar could not be added: " + reasonOf(err)
}

// admission reports whether a write was refused for what it contains rather than for who asked: by Pod Security, a policy or
// a webhook.
func admission(err error) bool {
	if !apierrors.IsForbidden(err) {
		// Webhooks and policies may answer with any code of their own.
		return strings.Contains(err.Error(), "admission webhook") || strings.Contains(err.Error(), "ValidatingAdmissionPolicy")
	}
	return !strings.Contains(err.Error(), "cannot patch resource")
}

// reasonOf returns what an API server's refusal says at its end, without the name of the object.
func reasonOf(err error) string {
	text := err.Error()
	if _, reason, ok := strings.Cut(text, " is forbidden: "); ok {
		return reason
	}
	return text
}

// changeService points a Service at sidecars, or puts it back.
func (n *namespace) changeService(ctx context.Context, change serviceChange) {
	known := n.memory.service(change.service.Name)
	patch, err := json.Marshal(change.patch)
	known.busy = true
	n.do(ctx, "service/"+change.service.Name, func(ctx context.Context) error {
		if err != nil {
			return err
		}
		target := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: n.name, Name: change.service.Name}}
		return n.controller.client.Patch(ctx, target, client.RawPatch(types.JSONPatchType, patch))
	}, func(err error) {
		known.busy, known.changedAt, known.problem = false, time.Now(), ""
		switch {
		case err == nil:
			n.controller.options.Log.Info("changed a service", "namespace", n.name, "service", change.service.Name, "leadsToSidecars", change.points)
		case apierrors.IsNotFound(err) || apierrors.IsConflict(err) || apierrors.IsInvalid(err): // it changed meanwhile
		default:
			known.problem = reasonOf(err)
			n.controller.options.Log.Warn("change a service", "namespace", n.name, "service", change.service.Name, "error", err)
		}
	})
}

// writeStatus says what was decided.
func (n *namespace) writeStatus(ctx context.Context, change statusChange) {
	before := change.intercept
	if n.busy["status/"+string(before.UID)] {
		return // it is looked at again when that is done
	}
	after := before.DeepCopy()
	after.Status = change.status
	known := n.memory.intercept(before.UID, time.Now())
	known.written, known.sent = time.Now(), &change.status
	n.do(ctx, "status/"+string(before.UID), func(ctx context.Context) error {
		return n.controller.client.Status().Patch(ctx, after, client.MergeFrom(before))
	}, func(err error) {
		if client.IgnoreNotFound(err) != nil {
			known.sent = nil
			n.controller.options.Log.Warn("write an intercept's status", "namespace", n.name, "name", before.Name, "error", err)
			return
		}
		if change.status.Phase != before.Status.Phase {
			n.controller.options.Log.Info("intercept", "namespace", n.name, "name", before.Name, "user", before.Spec.User,
				"phase", change.status.Phase, "message", change.status.Message)
			n.controller.tell(before, change.status)
		}
	})
}

// delete removes an Intercept whose owner does not.
func (n *namespace) delete(ctx context.Context, intercept *v1alpha1.Intercept) {
	n.do(ctx, "delete/"+string(intercept.UID), func(ctx context.Context) error {
		target := &v1alpha1.Intercept{ObjectMeta: metav1.ObjectMeta{Namespace: n.name, Name: intercept.Name}}
		return client.IgnoreNotFound(n.controller.client.Delete(ctx, target, client.Preconditions{UID: &intercept.UID}))
	}, func(err error) {
		if err != nil && !apierrors.IsConflict(err) {
			n.controller.options.Log.Warn("delete an intercept", "namespace", n.name, "name", intercept.Name, "error", err)
		}
	})
}

// lookUp finds out whether a workload exists.
func (n *namespace) lookUp(ctx context.Context, ref workload) {
	found := present
	n.do(ctx, "lookup/"+ref.String(), func(ctx context.Context) error {
		err := n.controller.direct.Get(ctx, client.ObjectKey{Namespace: n.name, Name: ref.name}, metadataOf(ref.kind))
		if apierrors.IsNotFound(err) {
			found, err = absent, nil
		}
		return err
	}, func(err error) {
		if err != nil {
			n.controller.options.Log.Warn("look for a workload", "namespace", n.name, "workload", ref.String(), "error", err)
			found = unknown
		}
		n.memory.workloads[ref] = lookup{answer: found, at: time.Now()}
	})
}

// lookUpConnection asks the API server for a Connection that the cache does not have: the cache may be behind, and an
// intercept is not ended on a rumour.
func (n *namespace) lookUpConnection(ctx context.Context, name string) {
	found := present
	n.do(ctx, "connection/"+name, func(ctx context.Context) error {
		connection := &v1alpha1.Connection{}
		err := n.controller.reader.Get(ctx, client.ObjectKey{Namespace: n.controller.options.Namespace, Name: name}, connection)
		if apierrors.IsNotFound(err) || err == nil && connection.DeletionTimestamp != nil {
			found, err = absent, nil
		}
		return err
	}, func(err error) {
		if err != nil {
			n.controller.options.Log.Warn("look for a connection", "name", name, "error", err)
			found = unknown
		}
		n.memory.connections[name] = found
	})
}

// sayUnfilled tells owners that the namespace can't be read.
func (n *namespace) sayUnfilled(ctx context.Context) {
	var list v1alpha1.InterceptList
	if err := n.controller.client.List(ctx, &list, client.InNamespace(n.name)); err != nil {
		return
	}
	for i := range list.Items {
		intercept := &list.Items[i]
		status := *intercept.Status.DeepCopy()
		if status.Phase == "" {
			status.Phase = v1alpha1.InterceptPending
		}
		status.Message = "the gateway can't read the pods and Services of namespace " + n.name + ": its log says why"
		if status.Message != intercept.Status.Message {
			n.writeStatus(ctx, statusChange{intercept: intercept, status: status})
		}
	}
}
