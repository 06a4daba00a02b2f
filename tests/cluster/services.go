// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// serviceLimit is how long Services may take to answer once their pods are ready. kube-proxy writes its rules at
	// most once a second.
	serviceLimit = 30 * time.Second
	// answerLimit is how long one answer may take. A lost packet is not waited for, but sent again.
	answerLimit = time.Second
)

// WaitServices waits until every Service of a namespace answers on every node, by name and address. A pod is ready
// before kube-proxy has heard of it: until then each node refuses what is sent to its Service, and a resolver that is
// refused waits five seconds before it asks again.
//
// Services must answer to a connection on each TCP port, and to a DNS question on each UDP port, as DNS and echo do.
func (c *Cluster) WaitServices(ctx context.Context, namespace string) error {
	services, err := c.kubernetes.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list services of %s: %w", namespace, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, node := range c.nodes {
		for _, service := range services.Items {
			what := fmt.Sprintf("service %s.%s to answer on %s", service.Name, namespace, node.Name)
			group.Go(func() error {
				return poll(ctx, what, serviceLimit, func() error { return node.askService(ctx, service) })
			})
		}
	}
	return group.Wait()
}

// askService resolves the name of a Service and tries its ports, from the node.
func (n *Node) askService(ctx context.Context, service corev1.Service) error {
	name := fmt.Sprintf("%s.%s.svc.cluster.local.", service.Name, service.Namespace)
	for _, family := range service.Spec.IPFamilies {
		kind := dns.TypeA
		if family == corev1.IPv6Protocol {
			kind = dns.TypeAAAA
		}
		answer, err := n.askDNS(ctx, dnsService4.String(), 53, name, kind)
		if err != nil {
			return fmt.Errorf("ask for the name %s: %w", name, err)
		}
		if len(answer.Answer) == 0 {
			return fmt.Errorf("the name %s has no address: %s", name, dns.RcodeToString[answer.Rcode])
		}
	}
	for _, text := range service.Spec.ClusterIPs {
		if _, err := netip.ParseAddr(text); err != nil || len(service.Spec.Selector) == 0 {
			continue // headless, or nobody's
		}
		for _, port := range service.Spec.Ports {
			if err := n.askPort(ctx, text, port); err != nil {
				return fmt.Errorf("ask port %s: %w", port.Name, err)
			}
		}
	}
	return nil
}

func (n *Node) askPort(ctx context.Context, address string, port corev1.ServicePort) error {
	if port.Protocol == corev1.ProtocolUDP {
		_, err := n.askDNS(ctx, address, port.Port, ".", dns.TypeNS)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	conn, err := n.Dial(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(int(port.Port))))
	if err != nil {
		return err
	}
	return conn.Close()
}

// askDNS sends one question over UDP and returns what comes back.
func (n *Node) askDNS(ctx context.Context, server string, port int32, name string, kind uint16) (*dns.Msg, error) {
	conn, err := n.Dial(ctx, "udp", net.JoinHostPort(server, strconv.Itoa(int(port))))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	question := new(dns.Msg).SetQuestion(name, kind)
	client := dns.Client{Timeout: answerLimit}
	answer, _, err := client.ExchangeWithConnContext(ctx, question, &dns.Conn{Conn: conn})
	return answer, err
}
