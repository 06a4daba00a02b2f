// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-dev/fairlead/agent/api/restore"
	"github.com/fairlead-dev/fairlead/agent/injector"
)

const (
	// passFor is how long sidecars go on taking callers and giving them to the app after a Service was put back: kube-proxy
	// on all nodes must have heard of it. It gathers changes for up to a second (its minSyncPeriod).
	passFor = 1500 * time.Millisecond

	// Where sidecars listen in the unprivileged way: below the ports that the kernel chooses for callers (32768 and above,
	// net.ipv4.ip_local_port_range).
	listenFrom, listenPorts = 20000, 10000

	// maxUnusable is how many ports are tried where something else has them.
	maxUnusable = 20

	// fightPause is how long a Service is left alone after somebody else put it back, doubled each time up to maxFightPause.
	fightPause, maxFightPause = 5 * time.Second, 5 * time.Minute
)

// lead is a port of a Service that leads to a port of pods.
type lead struct {
	service  *corev1.Service
	index    int
	original intstr.IntOrString
}

// leads finds the Services that lead to a port of members. obstacle says why those can't be pointed at sidecars;
// headless names Services whose callers go to pods by their own addresses.
func (w *world) leads(members []*member, p port) (found []lead, headless []string, obstacle string) {
	meant := make(map[*corev1.Pod]bool, len(members))
	for _, m := range members {
		meant[m.pod] = true
	}
	for i := range w.services {
		service := &w.services[i]
		selected := w.selected(service)
		if !slices.ContainsFunc(selected, func(pod *corev1.Pod) bool { return meant[pod] }) {
			continue
		}
		record, _ := restore.Read(service)
		for index, servicePort := range service.Spec.Ports {
			original := servicePort.TargetPort
			if entry := record.Find(servicePort); entry != nil && original == intstr.FromInt32(entry.Listen) {
				original = entry.TargetPort
			}
			if string(servicePort.Protocol) != p.Protocol || !slices.ContainsFunc(members, func(m *member) bool {
				return resolvePort(m.pod, original, servicePort.Protocol) == p.Number
			}) {
				continue
			}
			if service.Spec.ClusterIP == corev1.ClusterIPNone {
				headless = append(headless, service.Name)
				continue
			}
			for _, pod := range selected {
				if !meant[pod] {
					obstacle = fmt.Sprintf("service %s also selects pod %s, which is not meant", service.Name, pod.Name)
				}
			}
			found = append(found, lead{service: service, index: index, original: original})
		}
	}
	if len(found) == 0 {
		obstacle = fmt.Sprintf("no Service leads to port %s", describePort(p))
		if len(headless) > 0 {
			obstacle = fmt.Sprintf("only headless Services lead to port %s (%s), whose callers go to the pods themselves", describePort(p), strings.Join(headless, ", "))
		}
	}
	return found, headless, obstacle
}

// selected lists the pods that a Service may send callers to.
func (w *world) selected(service *corev1.Service) []*corev1.Pod {
	if len(service.Spec.Selector) == 0 || service.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	if known, ok := w.selections[service]; ok {
		return known
	}
	var pods []*corev1.Pod
	for i := range w.pods {
		pod := &w.pods[i]
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed || pod.DeletionTimestamp != nil
		if !ended && selects(service, pod) {
			pods = append(pods, pod)
		}
	}
	if w.selections == nil {
		w.selections = make(map[*corev1.Service][]*corev1.Pod)
	}
	w.selections[service] = pods
	return pods
}

// selects reports whether a Service's selector fits a pod.
func selects(service *corev1.Service, pod *corev1.Pod) bool {
	for name, value := range service.Spec.Selector {
		if pod.Labels[name] != value {
			return false
		}
	}
	return len(service.Spec.Selector) > 0
}

func holdsPod(members []*member, pod *corev1.Pod) bool {
	return slices.ContainsFunc(members, func(m *member) bool { return m.pod.UID == pod.UID })
}

// resolvePort returns the number of a target port in a pod, or 0.
func resolvePort(pod *corev1.Pod, target intstr.IntOrString, protocol corev1.Protocol) uint16 {
	if target.Type == intstr.Int {
		return uint16(target.IntVal)
	}
	for _, container := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		for _, p := range container.Ports {
			if p.Name == target.StrVal && (p.Protocol == protocol || p.Protocol == "" && protocol == corev1.ProtocolTCP) {
				return uint16(p.ContainerPort)
			}
		}
	}
	return 0
}

// listen returns where the sidecars of a workload listen for a port: where Services lead already, else at a port that no
// container declares.
func (m *memory) listen(w *world, root workload, members []*member, p port) uint16 {
	known := m.root(root).listen
	if number, ok := known[p]; ok {
		return number
	}
	taken := maps.Clone(m.root(root).unusable)
	for _, number := range known {
		taken[number] = true
	}
	for _, member := range members {
		for _, container := range member.pod.Spec.Containers {
			for _, declared := range container.Ports {
				taken[uint16(declared.ContainerPort)] = true
			}
		}
	}
	number := listenFrom + p.Number%listenPorts
	for taken[number] {
		number = listenFrom + (number-listenFrom+1)%listenPorts
	}
	leads, _, _ := w.leads(members, p)
	for _, l := range leads {
		record, _ := restore.Read(l.service)
		if entry := record.Find(l.service.Spec.Ports[l.index]); entry != nil {
			number = uint16(entry.Listen)
		}
	}
	known[p] = number
	return number
}

// track remembers which Services lead to sidecars, and since when they no longer do.
func (m *memory) track(w *world) {
	for i := range w.services {
		service := &w.services[i]
		record, _ := restore.Read(service)
		if record == nil && m.services[service.Name] == nil {
			continue
		}
		known := m.service(service.Name)
		switch {
		case record != nil:
			known.record, known.putBackAt = record, time.Time{}
		case known.record != nil && known.putBackAt.IsZero():
			known.putBackAt = w.now
		case known.record != nil && w.now.Sub(known.putBackAt) > passFor:
			known.record = nil
		}
	}
}

// passing returns the ports at which a pod's sidecar must be there because a Service leads to it or did so a moment ago.
func (m *memory) passing(w *world, pod *corev1.Pod) map[port]uint16 {
	ports := make(map[port]uint16)
	for i := range w.services {
		service := &w.services[i]
		known := m.services[service.Name]
		if known == nil || known.record == nil || !selects(service, pod) {
			continue
		}
		for _, entry := range known.record.Ports {
			ports[port{Number: uint16(entry.To), Protocol: string(entry.Protocol)}] = uint16(entry.Listen)
		}
	}
	return ports
}

// pointed reports whether any Service leads to sidecars, or did so a moment ago.
func (m *memory) pointed() bool {
	for _, known := range m.services {
		if known.record != nil {
			return true
		}
	}
	return false
}

// serviceChange is a patch of a Service.
type serviceChange struct {
	service *corev1.Service
	patch   []restore.Operation
	points  bool // at sidecars; else back at the app
}

// planServices points Services at sidecars where every pod that a Service may send callers to has one that listens, and
// puts back all others.
func planServices(w *world, m *memory, claims []*claim) []serviceChange {
	wanted := make(map[*corev1.Service]map[int]restore.Port)
	for _, c := range claims {
		if c.fate != holds || c.mode != injector.Unprivileged || c.suspended {
			continue
		}
		for _, p := range c.ports() {
			listen := m.listen(w, c.root, c.members, p)
			leads, _, obstacle := w.leads(c.members, p)
			for _, l := range leads {
				if obstacle != "" || !m.ready(w, l.service, p, listen) {
					continue
				}
				if wanted[l.service] == nil {
					wanted[l.service] = make(map[int]restore.Port)
				}
				servicePort := l.service.Spec.Ports[l.index]
				wanted[l.service][l.index] = restore.Port{
					Port: servicePort.Port, Protocol: servicePort.Protocol, TargetPort: l.original, Listen: int32(listen), To: int32(p.Number),
				}
			}
		}
	}
	var changes []serviceChange
	for i := range w.services {
		service := &w.services[i]
		if known := m.services[service.Name]; known != nil || len(wanted[service]) > 0 {
			m.service(service.Name).wanted = len(wanted[service]) > 0
		}
		if change, ok := m.change(w, service, wanted[service]); ok {
			changes = append(changes, change)
		}
	}
	return changes
}

// ready reports whether every pod that a Service may send callers to has a sidecar that listens.
func (m *memory) ready(w *world, service *corev1.Service, p port, listen uint16) bool {
	record, _ := restore.Read(service)
	for _, pod := range w.selected(service) {
		if pod.Spec.NodeName == "" {
			continue // it can't be called before it has a node
		}
		state := w.state(pod.UID)
		known := m.pods[pod.UID]
		if known == nil || known.listens[p] != listen {
			return false
		}
		if record != nil && !w.settled() && !state.Connected {
			continue // it listened before this gateway began, and is on its way back
		}
		report, ok := findPort(state.Report, p)
		if !state.Connected || state.Report.Revision != state.Revision && record == nil || !ok || !report.Redirected {
			return false
		}
	}
	return true
}

// change compares a Service with what is wanted of it.
func (m *memory) change(w *world, service *corev1.Service, wanted map[int]restore.Port) (serviceChange, bool) {
	record, _ := restore.Read(service)
	if len(wanted) == 0 {
		if record == nil || m.service(service.Name).busy {
			return serviceChange{}, false
		}
		return serviceChange{service: service, patch: restore.Patch(service)}, true
	}
	after := restore.Record{}
	patch := restore.Unchanged(service)
	foreign := false
	for index, p := range service.Spec.Ports {
		entry, want := wanted[index]
		before := record.Find(p)
		switch {
		case want:
			after.Ports = append(after.Ports, entry)
			if p.TargetPort != intstr.FromInt32(entry.Listen) {
				patch = append(patch, restore.Operation{Op: "replace", Path: restore.TargetPath(index), Value: entry.Listen})
				foreign = foreign || before != nil
			}
		case before != nil && p.TargetPort == intstr.FromInt32(before.Listen):
			patch = append(patch, restore.Operation{Op: "replace", Path: restore.TargetPath(index), Value: before.TargetPort})
		}
	}
	text, err := json.Marshal(after)
	if err != nil || record != nil && len(patch) == 1 && service.Annotations[restore.Annotation] == string(text) {
		return serviceChange{}, false
	}
	known := m.service(service.Name)
	if known.busy || foreign && !known.mayFight(w.now) {
		return serviceChange{}, false
	}
	if foreign {
		known.fights++
	}
	if len(service.Annotations) == 0 {
		patch = append(patch, restore.Operation{Op: "add", Path: "/metadata/annotations", Value: map[string]string{restore.Annotation: string(text)}})
	} else {
		patch = append(patch, restore.Operation{Op: "add", Path: restore.AnnotationPath, Value: string(text)})
	}
	return serviceChange{service: service, patch: patch, points: true}, true
}

// mayFight reports whether a Service that somebody else put back may be pointed at sidecars again.
func (s *serviceMemory) mayFight(now time.Time) bool {
	pause := fightPause << min(s.fights, 6)
	return now.Sub(s.changedAt) > min(pause, maxFightPause)
}
