// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// watchPause is how long a watch that broke is given before the next.
const watchPause = 500 * time.Millisecond

// waitUntilServing waits until the Deployment has come to its present form and a pod of it serves.
func (m *Manager) waitUntilServing(ctx context.Context, options Options) error {
	options.Progress("Waiting for the gateway's pod")
	progress := rollout{report: options.Progress}
	for {
		err := m.watchRollout(ctx, options.Namespace, &progress)
		switch {
		case progress.done:
			return nil
		case progress.failed != nil:
			return progress.failed
		case ctx.Err() == context.DeadlineExceeded:
			return problem.New(problem.GatewayNotReady, "See 'kubectl -n "+options.Namespace+" describe pods'.",
				"the gateway did not get ready in time: %s", progress.said)
		case ctx.Err() != nil:
			return interrupted(ctx)
		case err != nil:
			return m.explain(ctx, err, "watch", "", "pods", options.Namespace)
		}
		select { // the API server ended the watch
		case <-time.After(watchPause):
		case <-ctx.Done():
		}
	}
}

// watchRollout follows Deployment and pods until the rollout is decided or a watch ends.
func (m *Manager) watchRollout(ctx context.Context, namespace string, progress *rollout) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	*progress = rollout{report: progress.report, said: progress.said, pods: map[string]*corev1.Pod{}}
	// A watch without a resource version begins with what is there.
	deployments, err := m.clients.AppsV1().Deployments(namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", deploymentName).String(),
	})
	if err != nil {
		return err
	}
	defer deployments.Stop()
	pods, err := m.clients.CoreV1().Pods(namespace).Watch(ctx, metav1.ListOptions{LabelSelector: podSelector})
	if err != nil {
		return err
	}
	defer pods.Stop()
	for !progress.decided() {
		select {
		case event, ok := <-deployments.ResultChan():
			if !ok {
				return nil
			}
			if deployment, ok := event.Object.(*appsv1.Deployment); ok {
				progress.deployment = deployment
			}
		case event, ok := <-pods.ResultChan():
			if !ok {
				return nil
			}
			if pod, ok := event.Object.(*corev1.Pod); ok {
				progress.pods[pod.Name] = pod
				if event.Type == watch.Deleted {
					delete(progress.pods, pod.Name)
				}
			}
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// rollout is how far the gateway has come. It decides from what the API server says last.
type rollout struct {
	deployment *appsv1.Deployment
	pods       map[string]*corev1.Pod
	report     func(string)
	said       string // last reported
	done       bool
	failed     *problem.Problem
}

// decided looks at the present state, reports what is new, and says whether waiting is over.
func (r *rollout) decided() bool {
	if r.deployment == nil {
		return false
	}
	r.failed = replicaFailure(r.deployment)
	var waiting string
	for _, pod := range r.pods {
		if pod.DeletionTimestamp != nil {
			continue
		}
		if hopeless(pod) && r.failed == nil {
			r.failed = problem.New(problem.GatewayNotReady, "See 'kubectl -n "+pod.Namespace+" logs "+pod.Name+"', and check the option --image.",
				"the gateway's pod %s can't start: %s", pod.Name, cluster.PodState(*pod))
		}
		if !podReady(pod) {
			waiting = pod.Name + " is " + cluster.PodState(*pod)
		}
	}
	if waiting != "" && waiting != r.said {
		r.said = waiting
		r.report(waiting)
	}
	r.done = r.failed == nil && rolledOut(r.deployment) && r.serving()
	return r.done || r.failed != nil
}

// serving reports whether a pod that stays is ready and the active one.
func (r *rollout) serving() bool {
	for _, pod := range r.pods {
		if pod.DeletionTimestamp == nil && podReady(pod) && pod.Labels[cluster.ActiveLabel] == "true" {
			return true
		}
	}
	return false
}

// rolledOut reports whether all of a Deployment's pods are of its present form, and available.
func rolledOut(d *appsv1.Deployment) bool {
	wanted := int32(1)
	if d.Spec.Replicas != nil {
		wanted = *d.Spec.Replicas
	}
	s := d.Status
	return s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == wanted && s.Replicas == wanted && s.AvailableReplicas == wanted
}

// replicaFailure says why pods can't even be created, such as for a quota or the Pod Security of the namespace.
func replicaFailure(d *appsv1.Deployment) *problem.Problem {
	if d.Status.ObservedGeneration < d.Generation {
		return nil
	}
	for _, condition := range d.Status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			return problem.New(problem.GatewayNotReady, "Ask who runs the cluster to allow it in that namespace.",
				"the cluster does not let the gateway's pod be made in namespace %s: %s", d.Namespace, condition.Message)
		}
	}
	return nil
}

// hopeless reports whether a pod waits for what does not come by itself. Images that can't be pulled may come: a
// registry can be away for a moment.
func hopeless(pod *corev1.Pod) bool {
	for _, status := range pod.Status.ContainerStatuses {
		if waiting := status.State.Waiting; waiting != nil {
			switch waiting.Reason {
			case "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError":
				return true
			case "CrashLoopBackOff":
				return status.RestartCount >= 3
			}
		}
	}
	return false
}

func podReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// describeImage returns the image that the gateway's container runs.
func describeImage(d *appsv1.Deployment) string {
	for _, container := range d.Spec.Template.Spec.Containers {
		return container.Image
	}
	return ""
}

func since(t metav1.Time) string {
	return fmt.Sprintf("since %s", t.Local().Format("2006-01-02 15:04"))
}
