// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/agent/flows"
)

// serveSidecars starts the server that sidecars connect to.
func (g *gateway) serveSidecars(ctx context.Context, id identity) (*flows.Server, error) {
	server, err := flows.New(flows.Options{
		Certificate: id.certificate, CredentialKey: id.credentialKey, Laptops: g.peers,
		Tokens: tokenReviews{g.manager.GetClient()}, Log: g.log,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the server for sidecars: %w", err)
	}
	listener, err := net.Listen("tcp", sidecarAddress)
	if err != nil {
		return nil, fmt.Errorf("listen for sidecars: %w", err)
	}
	g.flows.Store(server)
	g.start(ctx, "serve sidecars", func() error { return server.Serve(ctx, listener) })
	return server, nil
}

// sidecarGateways returns where sidecars find the gateway: the addresses of a Service, which stay when pods come and go.
func sidecarGateways(ctx context.Context, reader client.Reader, namespace string) ([]netip.AddrPort, error) {
	var service corev1.Service
	if err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: sidecarService}, &service); err != nil {
		return nil, fmt.Errorf("look up where sidecars find the gateway: %w", err)
	}
	var gateways []netip.AddrPort
	for _, text := range service.Spec.ClusterIPs {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("service %s has the address %q: %w", sidecarService, text, err)
		}
		gateways = append(gateways, netip.AddrPortFrom(address, sidecarPort))
	}
	if len(gateways) == 0 {
		return nil, fmt.Errorf("service %s has no address", sidecarService)
	}
	return gateways, nil
}
