// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/agent/controller/intercepts"
	"github.com/fairlead-dev/fairlead/agent/flows"
	"github.com/fairlead-dev/fairlead/agent/injector"
	"github.com/fairlead-dev/fairlead/agent/webhook"
)

// serveIntercepts starts all that intercepts need: the server that sidecars connect to, the controller that decides what
// they do, and the webhook that gives new pods theirs.
func (g *gateway) serveIntercepts(ctx context.Context, privateKey [32]byte) error {
	namespace, settings := g.config.Pod.Namespace, g.config.Intercepts
	id, err := deriveIdentity(privateKey, namespace)
	if err != nil {
		return err
	}
	sidecars, err := g.serveSidecars(ctx, id)
	if err != nil {
		return err
	}
	reader := g.manager.GetAPIReader()
	configuration := webhook.Configuration{
		Reader: reader, Writer: g.manager.GetClient(), Namespace: namespace, Service: sidecarService, CABundle: id.caBundle,
	}
	keepWebhook := configuration.Set
	if !settings.Webhook {
		// One that was kept under other settings must not stay.
		keepWebhook = func(ctx context.Context, _ []string) error { return configuration.Set(ctx, nil) }
	}
	controller, wait, err := intercepts.Run(ctx, g.manager, intercepts.Options{
		Namespace: namespace,
		Policy: intercepts.Policy{
			PersonalBesideAll: settings.PersonalBesideAll, MaxDuration: settings.MaxDuration, RemoveAfter: settings.RemoveAfter, Redirect: settings.Redirect,
		},
		Sidecar: injector.Settings{
			Image: settings.Sidecar.Image, PullPolicy: settings.Sidecar.PullPolicy, Pin: id.pin, Guaranteed: settings.Sidecar.Resources,
		},
		Gateways: func(ctx context.Context) ([]netip.AddrPort, error) { return sidecarGateways(ctx, reader, namespace) },
		Flows:    sidecars, Laptops: g.peers, Webhook: keepWebhook, Log: g.log,
	})
	if err != nil {
		return fmt.Errorf("begin to answer intercepts: %w", err)
	}
	g.start(ctx, "answer intercepts", wait)
	return g.serveWebhook(ctx, controller, id)
}

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

// serveWebhook starts the server that the API server asks about new pods.
func (g *gateway) serveWebhook(ctx context.Context, asked webhook.Injector, id identity) error {
	server := webhook.NewServer(asked, g.log)
	listener, err := net.Listen("tcp", webhookAddress)
	if err != nil {
		return fmt.Errorf("listen for the webhook: %w", err)
	}
	g.webhook.Store(server)
	g.start(ctx, "serve the webhook", func() error { return server.Serve(ctx, listener, id.certificate) })
	return nil
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
