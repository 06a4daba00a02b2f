// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/backend/cluster"
)

func rolledOutDeployment() *appsv1.Deployment {
	one := int32(1)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead", Name: deploymentName, Generation: 2},
		Spec:       appsv1.DeploymentSpec{Replicas: &one},
		Status:     appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1},
	}
}

func servingPod() *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead", Name: "p", Labels: map[string]string{cluster.ActiveLabel: "true"}}}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return pod
}

func waiting(reason string, restarts int32) []corev1.ContainerStatus {
	return []corev1.ContainerStatus{{RestartCount: restarts, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "so it is"}}}}
}

func TestRolloutDecides(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*appsv1.Deployment, *corev1.Pod)
		done   bool
		failed string // in the problem's message
		said   string // in what is reported
	}{
		"serving":             {change: func(*appsv1.Deployment, *corev1.Pod) {}, done: true},
		"not active yet":      {change: func(_ *appsv1.Deployment, p *corev1.Pod) { p.Labels = nil }},
		"deployment not seen": {change: func(d *appsv1.Deployment, _ *corev1.Pod) { d.Generation = 3 }},
		"old pods left":       {change: func(d *appsv1.Deployment, _ *corev1.Pod) { d.Status.Replicas = 2 }},
		"ends": {change: func(_ *appsv1.Deployment, p *corev1.Pod) {
			now := metav1.Now()
			p.DeletionTimestamp = &now
		}},
		"not ready": {said: "p is Pending", change: func(_ *appsv1.Deployment, p *corev1.Pod) {
			p.Status = corev1.PodStatus{Phase: corev1.PodPending}
		}},
		"image may come": {said: "ImagePullBackOff", change: func(_ *appsv1.Deployment, p *corev1.Pod) {
			p.Status = corev1.PodStatus{ContainerStatuses: waiting("ImagePullBackOff", 0)}
		}},
		"no such image": {failed: "ErrImageNeverPull", said: "ErrImageNeverPull", change: func(_ *appsv1.Deployment, p *corev1.Pod) {
			p.Status = corev1.PodStatus{ContainerStatuses: waiting("ErrImageNeverPull", 0)}
		}},
		"crashed once": {said: "CrashLoopBackOff", change: func(_ *appsv1.Deployment, p *corev1.Pod) {
			p.Status = corev1.PodStatus{ContainerStatuses: waiting("CrashLoopBackOff", 1)}
		}},
		"crashes": {failed: "CrashLoopBackOff", said: "CrashLoopBackOff", change: func(_ *appsv1.Deployment, p *corev1.Pod) {
			p.Status = corev1.PodStatus{ContainerStatuses: waiting("CrashLoopBackOff", 3)}
		}},
		"pods not allowed": {failed: "exceeded quota", change: func(d *appsv1.Deployment, _ *corev1.Pod) {
			d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "exceeded quota"}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			deployment, pod := rolledOutDeployment(), servingPod()
			test.change(deployment, pod)
			var said []string
			r := rollout{deployment: deployment, pods: map[string]*corev1.Pod{"p": pod}, report: func(s string) { said = append(said, s) }}
			for range 2 { // the second look has nothing new to report
				if decided := r.decided(); decided != (test.done || test.failed != "") || r.done != test.done {
					t.Errorf("decided %v, done %v", decided, r.done)
				}
			}
			switch {
			case test.failed == "" && r.failed != nil, test.failed != "" && (r.failed == nil || !strings.Contains(r.failed.Message, test.failed) || r.failed.Hint == ""):
				t.Errorf("failed with %v, want %q", r.failed, test.failed)
			case test.said == "" && len(said) > 0, test.said != "" && (len(said) != 1 || !strings.Contains(said[0], test.said)):
				t.Errorf("said %q, want %q once", said, test.said)
			}
		})
	}
}
