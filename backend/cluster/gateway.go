// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ActiveLabel is on the gateway pod that serves; the gateway puts it there itself.
const ActiveLabel = "fairlead.dev/active"

// VersionLabel on a gateway's pod is the version of Fairlead that it runs.
const VersionLabel = "app.kubernetes.io/version"

// gatewayPodSelector finds all pods of the gateway, by the labels that the chart gives them.
const gatewayPodSelector = "app.kubernetes.io/name=fairlead,app.kubernetes.io/component=gateway"

// GatewayPods lists the gateway's pods in a namespace. Errors are *problem.Problem.
func (a *Access) GatewayPods(ctx context.Context, namespace string) ([]core.Pod, error) {
	list, err := a.clients.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: gatewayPodSelector})
	if err != nil {
		return nil, a.Explain(ctx, err, Action{Verb: "list", Resource: "pods", Namespace: namespace})
	}
	return list.Items, nil
}

// GatewayInstalled says with a problem.GatewayMissing that the cluster does not know our API. When in doubt it does.
func (a *Access) GatewayInstalled(ctx context.Context, namespace string) error {
	if a.servesConnections(ctx) {
		return nil
	}
	return a.gatewayMissing(namespace)
}

// PodReady is the PodState of a pod that is ready.
const PodReady = "ready"

// PodState says in words how a pod is.
func PodState(pod core.Pod) string {
	if pod.DeletionTimestamp != nil {
		return "terminating"
	}
	for _, c := range pod.Status.ContainerStatuses {
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Message != "":
			return c.State.Waiting.Reason + ": " + c.State.Waiting.Message
		case c.State.Waiting != nil:
			return c.State.Waiting.Reason
		case c.State.Terminated != nil:
			return fmt.Sprintf("ended with status %d: %s", c.State.Terminated.ExitCode, c.State.Terminated.Reason)
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == core.PodScheduled && c.Status != core.ConditionTrue {
			return "not scheduled: " + c.Message
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == core.PodReady && c.Status == core.ConditionTrue {
			return PodReady
		}
	}
	return string(pod.Status.Phase) + ", not ready"
}
