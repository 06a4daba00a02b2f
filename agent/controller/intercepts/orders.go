// SPDX-License-Identifier: Apache-2.0

package intercepts

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/agent/api/restore"
	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/flows"
	"github.com/fairlead-dev/fairlead/agent/injector"
)

// linger is how long a sidecar without orders waits for new ones. A developer who leaves and comes back a moment later
// finds it there; a container that ended can't be started again.
const linger = time.Minute

// order says what each pod's sidecar is to do, and which sidecars are to be let go for good.
func order(w *world, m *memory, claims []*claim, members []*member) (orders []flows.Pod, gone []types.UID) {
	alive := make(map[types.UID]bool)
	for _, member := range members {
		uid := member.pod.UID
		alive[uid] = true
		pod, busy := orderOf(w, m, claims, member)
		known := m.pods[uid]
		switch {
		case known == nil || !known.ordered && (!busy || known.container == "" || len(member.addresses) == 0):
			continue
		case busy:
			known.freeSince = time.Time{}
		case known.freeSince.IsZero():
			known.freeSince = w.now
		case !known.native && w.now.Sub(known.freeSince) > linger+5*time.Second: // what was born with its pod ends with it
			gone = append(gone, uid)
			delete(m.pods, uid)
			continue
		}
		known.ordered = true
		known.listens = make(map[port]uint16)
		for _, p := range pod.Order.Ports {
			if p.Listen != 0 {
				known.listens[port{Number: p.Port, Protocol: p.Protocol}] = p.Listen
			}
		}
		orders = append(orders, pod)
	}
	for uid, known := range m.pods {
		if alive[uid] {
			continue
		}
		if known.ordered {
			gone = append(gone, uid)
		}
		delete(m.pods, uid)
	}
	return orders, gone
}

// orderOf makes the order for one pod. busy says whether there is anything to do in it.
func orderOf(w *world, m *memory, claims []*claim, member *member) (flows.Pod, bool) {
	pod := flows.Pod{
		UID: member.pod.UID, Namespace: w.namespace, Name: member.pod.Name, Addresses: member.addresses,
		Targets: make(map[string]flows.Target),
		Order: wire.Order{
			Linger: int(linger / time.Second), PodAddresses: member.addresses, NodeAddresses: nodeAddresses(w, member.pod),
		},
	}
	ports := make(map[port]*wire.PortOrder)
	for _, c := range claims {
		if c.fate != holds || !slices.Contains(c.members, member) {
			continue
		}
		target := flows.Target{Connection: c.intercept.Spec.Connection.Name, Ports: make(map[port]uint16)}
		for i, p := range c.ports() {
			entry := ports[p]
			if entry == nil {
				entry = &wire.PortOrder{Port: p.Number, Protocol: p.Protocol, Probes: probesOf(member.pod, p), Speaks: speaks(w, member, p)}
				if c.mode == injector.Unprivileged {
					entry.Listen = m.listen(w, c.root, c.members, p)
				}
				ports[p] = entry
			}
			entry.Takeover = strongest(entry.Takeover, c.intercept.Spec.Takeover)
			entry.Rules = append(entry.Rules, wire.Rule{
				Intercept: c.id(), Match: c.match, Mirror: c.intercept.Spec.Mirror, Suspended: c.suspended,
			})
			target.TunnelPort = uint16(c.intercept.Spec.Ports[0].TunnelPort)
			if number := uint16(c.intercept.Spec.Ports[i].TunnelPort); number != target.TunnelPort {
				target.Ports[p] = number
			}
		}
		if len(target.Ports) == 0 {
			target.Ports = nil
		}
		pod.Targets[c.id()] = target
	}
	for p, listen := range m.passing(w, member.pod) {
		if entry := ports[p]; entry == nil {
			ports[p] = &wire.PortOrder{Port: p.Number, Protocol: p.Protocol, Listen: listen, Rules: []wire.Rule{}}
		}
	}
	if known := m.pods[member.pod.UID]; known != nil {
		pod.Container = known.container
	} else if len(ports) > 0 {
		m.choose(w, member, injector.Unprivileged) // a Service leads to a sidecar of the time before this gateway
		pod.Container = m.pod(member.pod.UID).container
	}
	for _, p := range slices.SortedFunc(maps.Keys(ports), comparePorts) {
		sortRules(ports[p].Rules)
		pod.Order.Ports = append(pod.Order.Ports, *ports[p])
	}
	return pod, len(pod.Order.Ports) > 0
}

func comparePorts(a, b port) int {
	return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Protocol, b.Protocol))
}

// sortRules puts those that take some requests before those that take all, and mirrors, which take none, behind. Claims
// come in order of precedence, and keep it.
func sortRules(rules []wire.Rule) {
	rank := func(r wire.Rule) int {
		switch {
		case r.Mirror:
			return 2
		case r.Match == nil:
			return 1
		}
		return 0
	}
	slices.SortStableFunc(rules, func(a, b wire.Rule) int { return cmp.Compare(rank(a), rank(b)) })
}

// strongest returns what becomes of open connections where several intercepts share a port.
func strongest(a string, b v1alpha1.TakeoverMode) string {
	order := []string{"", string(v1alpha1.TakeoverNone), string(v1alpha1.TakeoverGentle), string(v1alpha1.TakeoverForce)}
	return order[max(slices.Index(order, a), slices.Index(order, string(cmp.Or(b, v1alpha1.TakeoverGentle))))]
}

// nodeAddresses are those from where the kubelet probes a pod.
func nodeAddresses(w *world, pod *corev1.Pod) []netip.Addr {
	addresses := slices.Clone(w.nodes[pod.Spec.NodeName])
	for _, entry := range pod.Status.HostIPs {
		if address, err := netip.ParseAddr(entry.IP); err == nil {
			addresses = append(addresses, address)
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses)
}

// probesOf lists the kubelet's probes of a port.
func probesOf(pod *corev1.Pod, p port) []wire.Probe {
	if p.Protocol != string(corev1.ProtocolTCP) {
		return nil
	}
	var probes []wire.Probe
	for _, container := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		for _, probe := range []*corev1.Probe{container.StartupProbe, container.LivenessProbe, container.ReadinessProbe} {
			if found, ok := probeOf(pod, probe, p); ok && !slices.Contains(probes, found) {
				probes = append(probes, found)
			}
		}
	}
	return probes
}

// probeOf describes a probe if it is of the port. Probes of another host than the pod are not.
func probeOf(pod *corev1.Pod, probe *corev1.Probe, p port) (wire.Probe, bool) {
	switch {
	case probe == nil:
	case probe.HTTPGet != nil && probe.HTTPGet.Host == "" && resolvePort(pod, probe.HTTPGet.Port, corev1.ProtocolTCP) == p.Number:
		return wire.Probe{Kind: strings.ToLower(cmp.Or(string(probe.HTTPGet.Scheme), "http")), Path: probe.HTTPGet.Path}, true
	case probe.TCPSocket != nil && probe.TCPSocket.Host == "" && resolvePort(pod, probe.TCPSocket.Port, corev1.ProtocolTCP) == p.Number:
		return wire.Probe{Kind: "tcp"}, true
	case probe.GRPC != nil && uint16(probe.GRPC.Port) == p.Number:
		return wire.Probe{Kind: "grpc"}, true
	}
	return wire.Probe{}, false
}

// speaks says what a port speaks, where a Service or the pod says it: appProtocol first, then the names of ports.
func speaks(w *world, member *member, p port) string {
	var names []string
	for _, servicePort := range servicePorts(w, member, p) {
		if servicePort.AppProtocol != nil {
			if known := protocolNamed(*servicePort.AppProtocol); known != "" {
				return known
			}
		}
		names = append(names, servicePort.Name)
	}
	for _, container := range member.pod.Spec.Containers {
		for _, declared := range container.Ports {
			if uint16(declared.ContainerPort) == p.Number && cmp.Or(string(declared.Protocol), "TCP") == p.Protocol {
				names = append(names, declared.Name)
			}
		}
	}
	for _, name := range names {
		prefix, _, _ := strings.Cut(name, "-") // as Istio and others name ports: protocol[-suffix]
		if known := protocolNamed(prefix); known != "" {
			return known
		}
	}
	return ""
}

// servicePorts are the ports of Services that lead to a port of a pod, or did before they were pointed at its sidecar.
func servicePorts(w *world, member *member, p port) (found []corev1.ServicePort) {
	for i := range w.services {
		service := &w.services[i]
		if !selects(service, member.pod) {
			continue
		}
		record, _ := restore.Read(service)
		for _, servicePort := range service.Spec.Ports {
			target := servicePort.TargetPort
			if entry := record.Find(servicePort); entry != nil {
				target = entry.TargetPort
			}
			if string(servicePort.Protocol) == p.Protocol && resolvePort(member.pod, target, servicePort.Protocol) == p.Number {
				found = append(found, servicePort)
			}
		}
	}
	return found
}

// protocolNamed turns a name of a protocol (Service appProtocol, KEP-3726; IANA; names of ports) into what wire.PortOrder
// knows. What says nothing about the first bytes, such as tcp, is left open.
func protocolNamed(name string) string {
	switch strings.ToLower(name) {
	case "http", "http1", "kubernetes.io/ws", "ws":
		return "http"
	case "kubernetes.io/h2c", "h2c", "http2", "grpc":
		return "h2c"
	case "https", "tls", "kubernetes.io/wss", "wss":
		return "tls"
	case "mysql", "postgres", "postgresql", "redis", "mongo", "mongodb", "amqp", "smtp", "ftp", "ssh", "kafka", "nats", "memcached":
		return "other"
	}
	return ""
}
