// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// Ephemeral returns the container that is to be added to a pod that runs. credential returns what proves the pod's sidecar
// of a name. An error says why the pod can't have one.
//
// It targets no container of the pod: it would share that one's process namespace, and die whenever the app restarts.
func (s Settings) Ephemeral(pod *corev1.Pod, mode Mode, credential func(container string) string) (corev1.EphemeralContainer, error) {
	if err := Possible(pod, mode); err != nil {
		return corev1.EphemeralContainer{}, err
	}
	name := freeName(pod)
	return corev1.EphemeralContainer{
		EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: name, Image: s.Image, ImagePullPolicy: s.PullPolicy,
			Args: s.args(),
			Env: []corev1.EnvVar{
				{Name: containerVariable, Value: name},
				{Name: modeVariable, Value: string(mode)},
				{Name: podUIDVariable, Value: string(pod.UID)},
				{Name: credentialVariable, Value: credential(name)},
			},
			SecurityContext:          securityContext(mode),
			TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		},
	}, nil
}

// Possible says why a pod can't have a sidecar of a mode: nil means that it can.
func Possible(pod *corev1.Pod, mode Mode) error {
	switch {
	case pod.Spec.HostNetwork:
		return fmt.Errorf("pod %s uses its node's network (hostNetwork): a redirect would take the node's traffic", nameOf(pod))
	case pod.Spec.OS != nil && pod.Spec.OS.Name == corev1.Windows || pod.Spec.NodeSelector[corev1.LabelOSStable] == string(corev1.Windows):
		return fmt.Errorf("pod %s runs on Windows, where sidecars can't", nameOf(pod))
	case pod.Annotations[corev1.MirrorPodAnnotationKey] != "":
		return fmt.Errorf("pod %s is a static pod of its node, to which Kubernetes adds no containers", nameOf(pod))
	case mode == Instant && pod.Spec.HostUsers != nil && !*pod.Spec.HostUsers:
		return fmt.Errorf("pod %s has a user namespace (hostUsers: false), where the kernel lets nobody redirect", nameOf(pod))
	}
	return nil
}

// nameOf says which pod is meant, also of one that has no name yet.
func nameOf(pod *corev1.Pod) string {
	if pod.Name == "" {
		return pod.GenerateName + "…"
	}
	return pod.Name
}

// freeName returns a name that no container of the pod has.
func freeName(pod *corev1.Pod) string {
	var taken []string
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		taken = append(taken, c.Name)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		taken = append(taken, c.Name)
	}
	for n := 1; ; n++ {
		if name := namePrefix + strconv.Itoa(n); !slices.Contains(taken, name) {
			return name
		}
	}
}

// securityContext is all that a sidecar of a mode may. Instant needs CAP_BPF to load the program that redirects, and
// CAP_NET_ADMIN to attach it to the pod's network and to see connections that were open before. The program is root there
// because a container's other users start without capabilities; it has no others, and no way to get them.
func securityContext(mode Mode) *corev1.SecurityContext {
	no, yes := false, true
	context := &corev1.SecurityContext{
		AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, Privileged: &no,
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	user := int64(unprivilegedUser)
	if mode == Instant {
		user = 0
		context.Capabilities.Add = []corev1.Capability{"BPF", "NET_ADMIN"}
		context.RunAsNonRoot = &no
	} else {
		context.RunAsNonRoot = &yes
	}
	context.RunAsUser, context.RunAsGroup = &user, &user
	return context
}
