// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-dev/fairlead/agent/api/restore"
	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/flows"
	"github.com/fairlead-dev/fairlead/agent/injector"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// stage is a namespace with everything around it: objects that the test sets, an API server that does what it is told,
// and sidecars that do what they are told once they run.
type stage struct {
	t        *testing.T
	w        world
	m        *memory
	sidecars *fakeSidecars
	heardAt  map[string]time.Time // nobody: heard all the time
	mute     bool                 // sidecars confirm nothing
	refuse   string               // why the API server refuses containers with capabilities
	taken    map[uint16]bool      // ports that something else in the pods has
	last     plan
}

type fakeSidecars struct {
	pods    map[types.UID]flows.Pod
	states  map[types.UID]flows.State
	removed []types.UID
}

func (f *fakeSidecars) SetPod(p flows.Pod) {
	before, known := f.pods[p.UID]
	state := f.states[p.UID]
	p.Order.Revision = before.Order.Revision
	if !known || !reflect.DeepEqual(p, before) {
		state.Revision++
		p.Order.Revision = state.Revision
	}
	f.pods[p.UID], f.states[p.UID] = p, state
}
func (f *fakeSidecars) RemovePod(uid types.UID) {
	f.removed = append(f.removed, uid)
	delete(f.pods, uid)
	delete(f.states, uid)
}
func (f *fakeSidecars) State(uid types.UID) flows.State { return f.states[uid] }
func (f *fakeSidecars) Credential(uid types.UID, container string) string {
	return "proof of " + string(uid) + "/" + container
}

func newStage(t *testing.T) *stage {
	s := &stage{
		t: t, m: newMemory(), heardAt: make(map[string]time.Time),
		sidecars: &fakeSidecars{pods: make(map[types.UID]flows.Pod), states: make(map[types.UID]flows.State)},
	}
	s.w = world{
		now: noon, started: noon.Add(-time.Hour), gateway: "fairlead", namespace: "shop",
		replicaSets: map[string]owner{"api-1": {"Deployment", "api"}, "api-2": {"Deployment", "api"}},
		connections: make(map[string]*v1alpha1.Connection),
		nodes:       map[string][]netip.Addr{"node1": {netip.MustParseAddr("10.244.0.1")}},
		sidecars:    testSettings,
		state:       s.sidecars.State,
		heard: func(name string) time.Time {
			if at, ok := s.heardAt[name]; ok {
				return at
			}
			return s.w.now
		},
	}
	for _, user := range []string{"ana", "ben", "cleo"} {
		s.w.connections[user+"-1"] = &v1alpha1.Connection{
			ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead", Name: user + "-1"},
			Spec:       v1alpha1.ConnectionSpec{User: user}, Status: v1alpha1.ConnectionStatus{Phase: v1alpha1.ConnectionReady},
		}
	}
	return s
}

var testSettings = injector.Settings{
	Image: "registry.test/sidecar:1", Pin: "pin", Gateways: []netip.AddrPort{netip.MustParseAddrPort("10.96.0.5:8443")},
}

// pod adds a ready pod of Deployment api, or changes it by f.
func (s *stage) pod(name string, f ...func(*corev1.Pod)) {
	yes := true
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID(name), Labels: map[string]string{"app": "api"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "api-1", Controller: &yes}},
		},
		Spec: corev1.PodSpec{NodeName: "node1", Containers: []corev1.Container{{
			Name: "app", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
		}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: "10.244.0." + string(rune('0'+len(s.w.pods)+2))}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	for _, change := range f {
		change(&pod)
	}
	s.w.pods = append(s.w.pods, pod)
}

func (s *stage) find(name string) *corev1.Pod {
	for i := range s.w.pods {
		if s.w.pods[i].Name == name {
			return &s.w.pods[i]
		}
	}
	s.t.Fatalf("no pod %s", name)
	return nil
}

// service adds a Service of the pods with app=api.
func (s *stage) service(name string, target intstr.IntOrString) *corev1.Service {
	s.w.services = append(s.w.services, corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, ResourceVersion: "1"},
		Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0.9", Selector: map[string]string{"app": "api"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: target}},
		},
	})
	return &s.w.services[len(s.w.services)-1]
}

// intercept adds one of a user's, of port 8080 of Deployment api.
func (s *stage) intercept(user string, f ...func(*v1alpha1.Intercept)) {
	name := "api-" + user
	for _, other := range s.w.intercepts {
		if other.Name == name {
			name += "-b"
		}
	}
	i := v1alpha1.Intercept{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(s.w.now.Truncate(time.Second))},
		Spec: v1alpha1.InterceptSpec{
			User: user, Connection: v1alpha1.ConnectionReference{Namespace: "fairlead", Name: user + "-1"},
			Workload: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "api"},
			Ports:    []v1alpha1.InterceptPort{{Port: 8080, Protocol: "TCP", TunnelPort: 4000}},
		},
	}
	for _, change := range f {
		change(&i)
	}
	s.w.intercepts = append(s.w.intercepts, i)
}

func key(k string) func(*v1alpha1.Intercept) {
	return func(i *v1alpha1.Intercept) { i.Spec.Match = &v1alpha1.Match{Key: &k} }
}

func redirect(mode v1alpha1.RedirectMode) func(*v1alpha1.Intercept) {
	return func(i *v1alpha1.Intercept) { i.Spec.Redirect = mode }
}

func (s *stage) get(name string) *v1alpha1.Intercept {
	for i := range s.w.intercepts {
		if s.w.intercepts[i].Name == name {
			return &s.w.intercepts[i]
		}
	}
	s.t.Fatalf("no intercept %s", name)
	return nil
}

// look decides once and has the API server do what was decided.
func (s *stage) look() {
	s.w.selections = nil
	s.last = decide(&s.w, s.m, s.sidecars)
	for _, i := range s.last.injections {
		known := s.m.pod(i.member.pod.UID)
		known.tries = append(known.tries, s.w.now)
		if s.refuse != "" && i.mode == injector.Instant {
			known.container, known.problem = "", s.refuse
			s.m.root(i.member.chain[len(i.member.chain)-1]).noInstant = s.refuse
			continue
		}
		pod := s.find(i.member.pod.Name)
		pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, i.container)
		pod.Status.EphemeralContainerStatuses = append(pod.Status.EphemeralContainerStatuses, corev1.ContainerStatus{
			Name: i.container.Name, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(s.w.now)}},
		})
		known.problem = ""
	}
	for _, change := range s.last.services {
		s.patch(change)
	}
	for _, change := range s.last.statuses {
		s.get(change.intercept.Name).Status = change.status
		known := s.m.intercept(change.intercept.UID, s.w.now)
		known.written, known.sent = s.w.now, &change.status
	}
	for _, ref := range s.last.lookups {
		s.m.workloads[ref] = lookup{answer: absent, at: s.w.now}
	}
	for _, deleted := range s.last.deletions {
		for i := range s.w.intercepts {
			if s.w.intercepts[i].Name == deleted.Name {
				s.w.intercepts = append(s.w.intercepts[:i:i], s.w.intercepts[i+1:]...)
				break
			}
		}
	}
}

// patch applies the few operations that patches of Services have.
func (s *stage) patch(change serviceChange) {
	for i := range s.w.services {
		service := &s.w.services[i]
		if service.Name != change.service.Name {
			continue
		}
		document, _ := json.Marshal(service)
		patched := applyPatch(s.t, document, change.patch)
		*service = corev1.Service{}
		if err := json.Unmarshal(patched, service); err != nil {
			s.t.Fatal(err)
		}
		service.ResourceVersion += "1"
	}
}

// work has every sidecar that runs do what it was told last.
func (s *stage) work(result wire.Result) {
	for uid, pod := range s.sidecars.pods {
		state := s.sidecars.states[uid]
		status := containerStatus(s.find(pod.Name), pod.Container)
		if s.mute || status == nil || status.State.Running == nil {
			continue
		}
		if !state.Connected {
			state.Connected, state.Container, state.Since = true, pod.Container, s.w.now
		}
		state.Report.Revision = state.Revision
		state.Report.Ports = nil
		counts := make(map[string]wire.InterceptReport)
		for _, r := range state.Report.Rules {
			counts[r.Intercept] = r
		}
		state.Report.Rules = nil
		for _, p := range pod.Order.Ports {
			suspended := p.Listen == 0
			for _, rule := range p.Rules {
				suspended = suspended && rule.Suspended
				r := counts[rule.Intercept]
				r.Intercept, r.Port, r.Protocol = rule.Intercept, p.Port, p.Protocol
				r.Probe, r.ProbedAt = wire.Answer{Result: result, Local: "127.0.0.1:3000"}, s.w.now
				state.Report.Rules = append(state.Report.Rules, r)
			}
			report := wire.PortReport{Port: p.Port, Protocol: p.Protocol, Redirected: !suspended, AppListens: true}
			if s.taken[p.Listen] {
				report.Redirected, report.Problem = false, "the address is in use"
			}
			state.Report.Ports = append(state.Report.Ports, report)
		}
		s.sidecars.states[uid] = state
	}
}

// settle looks and works until nothing changes.
func (s *stage) settle() {
	for range 8 {
		s.look()
		s.work(wire.Accepted)
	}
	s.look()
}

func (s *stage) wantPhase(name string, phase v1alpha1.InterceptPhase, message string) {
	s.t.Helper()
	status := s.get(name).Status
	if status.Phase != phase || status.Message != message {
		s.t.Errorf("%s is %s: %q, want %s: %q", name, status.Phase, status.Message, phase, message)
	}
}

func applyPatch(t *testing.T, document []byte, operations []restore.Operation) []byte {
	t.Helper()
	text, err := json.Marshal(operations)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(text)
	if err != nil {
		t.Fatal(err)
	}
	applied, err := patch.Apply(document)
	if err != nil {
		t.Fatalf("patch %s: %v", text, err)
	}
	return applied
}
