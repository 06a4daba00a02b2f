// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"errors"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// ErrGuaranteed says that a sidecar would cost a pod its QoS class.
var ErrGuaranteed = errors.New("a sidecar would take the pod's QoS class Guaranteed away")

// Native returns a pod that is being made with a sidecar that starts before everything else in it. It returns the pod as
// it is, and false, if it has one already. An error says why it can't have one. The pod that is passed is not changed.
//
// The sidecar asks for no resources, so that a pod's QoS class and what a quota counts stay the same, but in a pod of the
// class Guaranteed, where each container must be limited. A LimitRange may give it defaults all the same.
func (s Settings) Native(pod *corev1.Pod, mode Mode) (*corev1.Pod, bool, error) {
	if err := Possible(pod, mode); err != nil {
		return pod, false, err
	}
	if slices.ContainsFunc(s.Sidecars(pod), func(c Sidecar) bool { return c.Native }) {
		return pod, false, nil
	}
	resources := corev1.ResourceRequirements{}
	if guaranteed(pod) {
		if len(s.Guaranteed) == 0 {
			return pod, false, ErrGuaranteed
		}
		resources = corev1.ResourceRequirements{Requests: s.Guaranteed.DeepCopy(), Limits: s.Guaranteed.DeepCopy()}
	}
	pod = pod.DeepCopy()
	name, volume := freeName(pod), freeVolume(pod)
	always, expiration := corev1.ContainerRestartPolicyAlways, int64(tokenExpirationSeconds)
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
			ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: audience, ExpirationSeconds: &expiration, Path: "token"},
		}}},
	}})
	sidecar := corev1.Container{
		Name: name, Image: s.Image, ImagePullPolicy: s.PullPolicy, RestartPolicy: &always,
		Args: append(s.args(), "--token-file="+path.Join(tokenFolder, "token")),
		Env: []corev1.EnvVar{
			{Name: containerVariable, Value: name},
			{Name: modeVariable, Value: string(mode)},
			{Name: podUIDVariable, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.uid"}}},
		},
		Resources:    resources,
		VolumeMounts: []corev1.VolumeMount{{Name: volume, MountPath: tokenFolder, ReadOnly: true}},
		// The app starts when the sidecar has its orders, or has given up waiting for them: it never fails.
		StartupProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{program, "ready"}}},
			PeriodSeconds: 1, TimeoutSeconds: 5, FailureThreshold: 60,
		},
		SecurityContext:          securityContext(mode),
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
	pod.Spec.InitContainers = append([]corev1.Container{sidecar}, pod.Spec.InitContainers...)
	return pod, true, nil
}

// freeVolume returns a name that no volume of the pod has.
func freeVolume(pod *corev1.Pod) string {
	name := tokenVolume
	for slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name }) {
		name += "-x"
	}
	return name
}

// guaranteed reports whether a pod is of the QoS class Guaranteed: each container is limited in CPU and memory, and asks
// for as much as that. What it asks for is its limit where it does not say.
func guaranteed(pod *corev1.Pod) bool {
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			limit, limited := container.Resources.Limits[name]
			request, requested := container.Resources.Requests[name]
			if !limited || limit.IsZero() || requested && request.Cmp(limit) != 0 {
				return false
			}
		}
	}
	return len(pod.Spec.Containers) > 0
}
