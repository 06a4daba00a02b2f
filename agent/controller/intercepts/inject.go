// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Inject returns a pod that is being made with a sidecar, if an Intercept means it. The API server waits for it. An error
// says why the pod is made without; it then gets its sidecar as soon as it runs, in another way.
func (c *Controller) Inject(ctx context.Context, namespace string, pod *corev1.Pod) (*corev1.Pod, bool, error) {
	c.mu.Lock()
	n := c.namespaces[namespace]
	c.mu.Unlock()
	if n == nil {
		return pod, false, nil
	}
	births := n.births.Load()
	if births == nil || len(births.byRoot) == 0 {
		return pod, false, nil
	}
	chain, err := n.chainOf(ctx, births.world, pod)
	if err != nil {
		return pod, false, err
	}
	birth, ok := births.byRoot[chain[len(chain)-1]]
	if !ok || !slices.ContainsFunc(birth.refs, func(ref workload) bool { return slices.Contains(chain, ref) }) {
		return pod, false, nil
	}
	limited, err := n.limited(ctx)
	if err != nil {
		return pod, false, err
	}
	if limited {
		// A container more could exceed a quota or fall below a limit, and the pod would not be made. Ephemeral containers
		// count for nothing.
		return pod, false, nil
	}
	return births.world.sidecars.Native(pod, birth.mode)
}

// chainOf lists a pod that is being made and the workloads that it belongs to. The cache may not have its ReplicaSet yet.
func (n *namespace) chainOf(ctx context.Context, w *world, pod *corev1.Pod) ([]workload, error) {
	chain := w.chain(pod)
	top := chain[len(chain)-1]
	if top.kind != "ReplicaSet" {
		return chain, nil
	}
	if _, known := w.replicaSets[top.name]; known {
		return chain, nil
	}
	set := metadataOf("ReplicaSet")
	if err := n.controller.direct.Get(ctx, client.ObjectKey{Namespace: n.name, Name: top.name}, set); err != nil {
		return nil, fmt.Errorf("find out what the pod belongs to: %w", err)
	}
	if above := controllerOf(set); above != (owner{}) {
		chain = append(chain, above)
	}
	return chain, nil
}

// limited reports whether the namespace limits what its pods may ask for.
func (n *namespace) limited(ctx context.Context) (bool, error) {
	var limits corev1.LimitRangeList
	if err := n.controller.direct.List(ctx, &limits, client.InNamespace(n.name), client.Limit(1)); err != nil {
		return false, fmt.Errorf("look for limits: %w", err)
	}
	if len(limits.Items) > 0 {
		return true, nil
	}
	var quotas corev1.ResourceQuotaList
	if err := n.controller.direct.List(ctx, &quotas, client.InNamespace(n.name), client.Limit(1)); err != nil {
		return false, fmt.Errorf("look for quotas: %w", err)
	}
	return len(quotas.Items) > 0, nil
}
