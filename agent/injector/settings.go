// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// What sidecars and the program in them agree on.
const (
	// program is where the image has it.
	program = "/fairlead-sidecar"

	// tokenFolder is where a native sidecar finds its token.
	tokenFolder = "/var/run/secrets/fairlead"

	// audience is wire.Audience.
	audience = "fairlead-gateway"

	// tokenExpirationSeconds is how long a projected token holds. The kubelet renews it when 80 % have passed.
	tokenExpirationSeconds = 3600

	podUIDVariable     = "FAIRLEAD_POD_UID"
	containerVariable  = "FAIRLEAD_CONTAINER"
	credentialVariable = "FAIRLEAD_CREDENTIAL"
	modeVariable       = "FAIRLEAD_MODE"

	// namePrefix begins the names of sidecars.
	namePrefix = "fairlead-"

	// tokenVolume is the name of a native sidecar's volume.
	tokenVolume = "fairlead-token"

	// unprivilegedUser is who a sidecar without capabilities runs as.
	unprivilegedUser = 65532
)

// Mode is what a sidecar is able to do.
type Mode string

const (
	// Instant: it can let the kernel hand it the connections of a port, and can do all that Unprivileged can.
	Instant Mode = "instant"
	// Unprivileged: it accepts connections at a port of its own, and conforms to Pod Security "restricted".
	Unprivileged Mode = "unprivileged"
)

// Settings are what is the same for all sidecars of a gateway.
type Settings struct {
	Image      string
	PullPolicy corev1.PullPolicy // empty: Kubernetes' default
	// Gateways are where sidecars reach the gateway, Pin is the hash of its key that they insist on.
	Gateways []netip.AddrPort
	Pin      string
	// Guaranteed is what a native sidecar asks for, and is limited to, in a pod of the QoS class Guaranteed. Without it such
	// pods get no native sidecar.
	Guaranteed corev1.ResourceList
}

// args are the program's arguments.
func (s Settings) args() []string {
	var args []string
	for _, gateway := range s.Gateways {
		args = append(args, "--gateway="+gateway.String())
	}
	return append(args, "--pin="+s.Pin)
}

// Sidecar is a sidecar as it is found in a pod.
type Sidecar struct {
	Name   string
	Native bool
	Mode   Mode
	// Current: it has the program and the gateway of the Settings that were asked about.
	Current bool
}

// Sidecars finds those of a pod, in the order in which they were added.
func (s Settings) Sidecars(pod *corev1.Pod) []Sidecar {
	var found []Sidecar
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if IsSidecar(c.Name, c.Env) {
			found = append(found, s.describe(c.Name, c.Image, c.Args, c.Env, true))
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		c := &pod.Spec.EphemeralContainers[i]
		if IsSidecar(c.Name, c.Env) {
			found = append(found, s.describe(c.Name, c.Image, c.Args, c.Env, false))
		}
	}
	return found
}

// IsSidecar tells Fairlead's containers from others.
func IsSidecar(name string, env []corev1.EnvVar) bool {
	return strings.HasPrefix(name, namePrefix) && value(env, containerVariable) == name
}

func (s Settings) describe(name, image string, args []string, env []corev1.EnvVar, native bool) Sidecar {
	current := image == s.Image
	for _, arg := range s.args() {
		current = current && slices.Contains(args, arg)
	}
	return Sidecar{Name: name, Native: native, Mode: Mode(value(env, modeVariable)), Current: current}
}

func value(env []corev1.EnvVar, name string) string {
	for _, variable := range env {
		if variable.Name == name {
			return variable.Value
		}
	}
	return ""
}
