// SPDX-License-Identifier: Apache-2.0

package injector

import (
	"errors"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/tests/golden"
)

var settings = Settings{
	Image: "registry.test/sidecar:1.2.3", PullPolicy: corev1.PullIfNotPresent, Pin: "cGlu",
	Gateways: []netip.AddrPort{netip.MustParseAddrPort("10.96.1.2:8443"), netip.MustParseAddrPort("[fd00::1]:8443")},
	Guaranteed: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi"),
	},
}

// podWith returns a pod whose QoS class follows from the resources.
func podWith(requests, limits corev1.ResourceList) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api-1", UID: "a-uid"},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "migrate", Image: "app:1", Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}}},
			Containers:     []corev1.Container{{Name: "app", Image: "app:1", Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}}},
		},
	}
}

func quantities(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

func compare(t *testing.T, name string, object any) {
	t.Helper()
	got, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, filepath.Join("testdata", name+".yaml"), string(got))
}

func TestEphemeral(t *testing.T) {
	pod := podWith(nil, nil)
	pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "fairlead-1"}}}
	for _, mode := range []Mode{Instant, Unprivileged} {
		container, err := settings.Ephemeral(pod, mode, func(name string) string { return "proof-of-" + name })
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "ephemeral-"+string(mode), container)
	}
}

func TestNative(t *testing.T) {
	for name, c := range map[string]struct {
		pod  *corev1.Pod
		mode Mode
	}{
		"best-effort": {podWith(nil, nil), Instant},
		"burstable":   {podWith(quantities("100m", "64Mi"), nil), Unprivileged},
		"guaranteed":  {podWith(quantities("1", "1Gi"), quantities("1", "1Gi")), Instant},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.pod.DeepCopy()
			pod, changed, err := settings.Native(c.pod, c.mode)
			if err != nil || !changed {
				t.Fatalf("changed %v, error %v", changed, err)
			}
			if diff := cmp.Diff(before, c.pod); diff != "" {
				t.Errorf("the pod that was passed changed:\n%s", diff)
			}
			compare(t, "native-"+name, pod)
			if _, again, err := settings.Native(pod, c.mode); again || err != nil {
				t.Errorf("it got a second one, error %v", err)
			}
			found := settings.Sidecars(pod)
			if len(found) != 1 || found[0] != (Sidecar{Name: "fairlead-1", Native: true, Mode: c.mode, Current: true}) {
				t.Errorf("found %+v", found)
			}
		})
	}
	poor := settings
	poor.Guaranteed = nil
	if _, changed, err := poor.Native(podWith(quantities("1", "1Gi"), quantities("1", "1Gi")), Instant); changed || !errors.Is(err, ErrGuaranteed) {
		t.Errorf("changed %v, error %v", changed, err)
	}
}

func TestPossible(t *testing.T) {
	no := false
	for name, c := range map[string]struct {
		change       func(*corev1.Pod)
		instant      bool
		unprivileged bool
	}{
		"any pod":          {func(*corev1.Pod) {}, true, true},
		"host network":     {func(p *corev1.Pod) { p.Spec.HostNetwork = true }, false, false},
		"Windows":          {func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} }, false, false},
		"a Windows node":   {func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelOSStable: "windows"} }, false, false},
		"a static pod":     {func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }, false, false},
		"a user namespace": {func(p *corev1.Pod) { p.Spec.HostUsers = &no }, false, true},
	} {
		pod := podWith(nil, nil)
		c.change(pod)
		for mode, want := range map[Mode]bool{Instant: c.instant, Unprivileged: c.unprivileged} {
			if err := Possible(pod, mode); (err == nil) != want {
				t.Errorf("%s, %s: %v", name, mode, err)
			}
			if _, _, err := settings.Native(pod, mode); (err == nil) != want {
				t.Errorf("%s, %s, native: %v", name, mode, err)
			}
		}
	}
}

func TestSidecars(t *testing.T) {
	pod := podWith(nil, nil)
	pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{
		{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "fairlead-debug", Image: settings.Image}}, // somebody's
	}
	container, err := settings.Ephemeral(pod, Instant, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, container)
	for name, c := range map[string]struct {
		change  func(*Settings)
		current bool
	}{
		"the same":        {func(*Settings) {}, true},
		"another program": {func(s *Settings) { s.Image = "registry.test/sidecar:2" }, false},
		"another key":     {func(s *Settings) { s.Pin = "other" }, false},
		"another address": {func(s *Settings) { s.Gateways = []netip.AddrPort{netip.MustParseAddrPort("10.96.9.9:8443")} }, false},
	} {
		other := settings
		c.change(&other)
		if found := other.Sidecars(pod); len(found) != 1 || found[0].Current != c.current || found[0].Mode != Instant {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func TestAudience(t *testing.T) {
	if audience != wire.Audience {
		t.Errorf("%s is not %s", audience, wire.Audience)
	}
}
