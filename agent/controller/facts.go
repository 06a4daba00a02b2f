// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// lookupTimeout bounds how long the name of a load balancer may take to resolve.
	lookupTimeout = 2 * time.Second

	// servicesEvery is how often all Services are listed where there is no ServiceCIDR API to tell their range.
	servicesEvery = 10 * time.Minute

	// pageSize bounds what one list of a large kind costs.
	pageSize = 500
)

// Cluster says what of the cluster the gateway is told by its chart and its own pod.
type Cluster struct {
	Namespace     string // the gateway's
	Service       string // the name of its UDP Service
	NodeName      string
	PodAddresses  []netip.Addr
	UDPType       UDPType
	UDPPort       uint16
	Advertised    []netip.AddrPort
	ServiceRanges []netip.Prefix
	PodRanges     []netip.Prefix
}

// Resolver finds the addresses of a load balancer that has a name only. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// surveyor reads Facts from the API server. cached holds nodes, namespaces (metadata), Services of the gateway's own
// namespace, ServiceCIDRs where the API has them, and pods where they are watched; direct asks the API server.
type surveyor struct {
	cluster          Cluster
	cached           client.Reader
	direct           client.Client
	resolver         Resolver
	log              *slog.Logger
	hasServiceCIDRs  bool
	watchesPods      bool
	mu               sync.Mutex
	servicesListed   time.Time
	serviceIPs       []netip.Addr
	revealedServices []netip.Prefix
}

var namespaceKind = schema.GroupVersionKind{Version: "v1", Kind: "NamespaceList"}

// survey gathers everything. Parts that can't be read make it fail, so that laptops keep what they were told before.
func (s *surveyor) survey(ctx context.Context) (Facts, error) {
	ranges, nodes, err := s.rangeFacts(ctx)
	if err != nil {
		return Facts{}, err
	}
	endpoints, err := s.endpointFacts(ctx, nodes)
	if err != nil {
		return Facts{}, err
	}
	namespaces := &metav1.PartialObjectMetadataList{}
	namespaces.SetGroupVersionKind(namespaceKind)
	if err := s.cached.List(ctx, namespaces); err != nil {
		return Facts{}, fmt.Errorf("list namespaces: %w", err)
	}
	facts := Facts{Ranges: ClusterRanges(ranges)}
	for _, namespace := range namespaces.Items {
		if namespace.DeletionTimestamp == nil {
			facts.Namespaces = append(facts.Namespaces, namespace.Name)
		}
	}
	slices.Sort(facts.Namespaces)
	for _, endpoint := range UDPEndpoints(endpoints) {
		facts.UDPEndpoints = append(facts.UDPEndpoints, endpoint.String())
	}
	return facts, nil
}

// rangeFacts also returns the nodes, which the endpoints need too.
func (s *surveyor) rangeFacts(ctx context.Context) (RangeFacts, []corev1.Node, error) {
	facts := RangeFacts{
		ConfiguredServices: s.cluster.ServiceRanges,
		ConfiguredPods:     s.cluster.PodRanges,
		GatewayPod:         s.cluster.PodAddresses,
	}
	var nodes corev1.NodeList
	if err := s.cached.List(ctx, &nodes); err != nil {
		return facts, nil, fmt.Errorf("list nodes: %w", err)
	}
	for _, node := range nodes.Items {
		facts.NodePodCIDRs = appendPrefixes(facts.NodePodCIDRs, node.Spec.PodCIDRs)
	}
	if s.hasServiceCIDRs {
		var list networkingv1.ServiceCIDRList
		if err := s.cached.List(ctx, &list); err != nil {
			return facts, nil, fmt.Errorf("list service ranges: %w", err)
		}
		for _, item := range list.Items {
			facts.ServiceCIDRs = appendPrefixes(facts.ServiceCIDRs, item.Spec.CIDRs)
		}
	} else if len(s.cluster.ServiceRanges) == 0 {
		if err := s.lookAtServices(ctx); err != nil {
			return facts, nil, err
		}
		facts.ServiceIPs, facts.RevealedService = s.serviceIPs, s.revealedServices
	}
	if s.watchesPods {
		var pods corev1.PodList
		if err := s.cached.List(ctx, &pods, client.UnsafeDisableDeepCopy); err != nil {
			return facts, nil, fmt.Errorf("list pods: %w", err)
		}
		for i := range pods.Items {
			facts.PodIPs = append(facts.PodIPs, podAddresses(&pods.Items[i])...)
		}
	}
	return facts, nodes.Items, nil
}

// appendPrefixes appends those of texts that are ranges.
func appendPrefixes(to []netip.Prefix, texts []string) []netip.Prefix {
	for _, text := range texts {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			to = append(to, prefix)
		}
	}
	return to
}

// lookAtServices finds out about the range of Services where no API tells it: from the API server's refusal of an
// impossible address (a dry run: nothing is ever created), and from the addresses that Services have.
func (s *surveyor) lookAtServices(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.servicesListed) < servicesEvery {
		return nil
	}
	impossible := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "fairlead-range-probe", Namespace: s.cluster.Namespace},
		Spec:       corev1.ServiceSpec{ClusterIP: "0.0.0.1", Ports: []corev1.ServicePort{{Port: 1}}},
	}
	if err := s.direct.Create(ctx, impossible, client.DryRunAll); err != nil {
		if prefix, ok := RangeInRefusal(err.Error()); ok {
			s.revealedServices = []netip.Prefix{prefix}
		}
	}
	var found []netip.Addr
	var list corev1.ServiceList
	for {
		if err := s.direct.List(ctx, &list, client.Limit(pageSize), client.Continue(list.Continue)); err != nil {
			return fmt.Errorf("list services: %w", err)
		}
		for _, service := range list.Items {
			for _, text := range service.Spec.ClusterIPs {
				if address, err := netip.ParseAddr(text); err == nil {
					found = append(found, address)
				}
			}
		}
		if list.Continue == "" {
			break
		}
	}
	s.serviceIPs, s.servicesListed = found, time.Now()
	return nil
}

func (s *surveyor) endpointFacts(ctx context.Context, nodes []corev1.Node) (EndpointFacts, error) {
	facts := EndpointFacts{
		Type: s.cluster.UDPType, Port: s.cluster.UDPPort, Advertised: s.cluster.Advertised, OwnNode: s.cluster.NodeName,
	}
	serves := func(netip.Addr) bool { return true }
	if facts.Type == UDPNodePort || facts.Type == UDPLoadBalancer {
		var service corev1.Service
		err := s.cached.Get(ctx, client.ObjectKey{Namespace: s.cluster.Namespace, Name: s.cluster.Service}, &service)
		if client.IgnoreNotFound(err) != nil {
			return facts, fmt.Errorf("read service %s: %w", s.cluster.Service, err)
		}
		if err == nil {
			serves = func(a netip.Addr) bool { return slices.Contains(service.Spec.IPFamilies, family(a)) }
			facts.NodePort = udpNodePort(service)
			facts.Ingress = s.ingress(ctx, service)
		}
	}
	for _, node := range nodes {
		facts.Nodes = append(facts.Nodes, describeNode(node, serves))
	}
	return facts, nil
}

// ingress returns a load balancer's addresses. A name that does not resolve is left out until the next survey.
func (s *surveyor) ingress(ctx context.Context, service corev1.Service) []netip.Addr {
	var addresses []netip.Addr
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if address, err := netip.ParseAddr(ingress.IP); err == nil {
			addresses = append(addresses, address)
		}
		if ingress.Hostname == "" {
			continue
		}
		lookup, cancel := context.WithTimeout(ctx, lookupTimeout)
		found, err := s.resolver.LookupNetIP(lookup, "ip", ingress.Hostname)
		cancel()
		if err != nil {
			s.log.Warn("the load balancer's name does not resolve", "host", ingress.Hostname, "error", err)
		}
		for _, address := range found {
			addresses = append(addresses, address.Unmap())
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	return addresses
}

// serviceCIDRsServed asks whether the API server has the ServiceCIDR API (Kubernetes 1.33 and newer, KEP-1880).
func serviceCIDRsServed(ctx context.Context, direct client.Reader) (bool, error) {
	_, err := askAgain(ctx, askAgainAfter, func() (any, error) {
		return nil, direct.List(ctx, &networkingv1.ServiceCIDRList{}, client.Limit(1))
	})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask for service ranges: %w", err)
	}
	return true, nil
}

func udpNodePort(service corev1.Service) uint16 {
	for _, port := range service.Spec.Ports {
		if port.Protocol == corev1.ProtocolUDP {
			return uint16(port.NodePort)
		}
	}
	return 0
}

func describeNode(node corev1.Node, serves func(netip.Addr) bool) Node {
	described := Node{Name: node.Name}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			described.Ready = condition.Status == corev1.ConditionTrue
		}
	}
	for _, entry := range node.Status.Addresses {
		address, err := netip.ParseAddr(entry.Address)
		if err != nil || !serves(address) {
			continue
		}
		switch entry.Type {
		case corev1.NodeExternalIP:
			described.External = append(described.External, address)
		case corev1.NodeInternalIP:
			described.Internal = append(described.Internal, address)
		}
	}
	return described
}

// podAddresses returns the addresses of a pod that has a network of its own and runs.
func podAddresses(pod *corev1.Pod) []netip.Addr {
	if pod.Spec.HostNetwork || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return nil
	}
	var addresses []netip.Addr
	for _, entry := range pod.Status.PodIPs {
		if address, err := netip.ParseAddr(entry.IP); err == nil {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

func family(a netip.Addr) corev1.IPFamily {
	if a.Unmap().Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}
