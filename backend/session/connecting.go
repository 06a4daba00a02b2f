// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/carrier"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/helper/api"
)

const (
	// identityTimeout bounds the first call to the API server. It covers a credential plugin that asks a server.
	identityTimeout = 15 * time.Second
	// helperTimeout bounds a call to the helper that changes little; upTimeout one that builds the tunnel.
	helperTimeout = 5 * time.Second
	upTimeout     = 20 * time.Second
	// relayPort is where the gateway's pod takes relay streams, until its status says so itself.
	relayPort = 8642
	// allNamespaces is how many namespaces the gateway lists at most; a full list may lack some.
	allNamespaces = 1000
)

// connect makes one attempt: it prepares the helper, announces the laptop to the gateway, plans the routes and has the
// helper build the tunnel. What is independent runs at the same time. Nothing on the machine changes before the plan is
// known to work.
func (r *run) connect() (*link, error) {
	l := newLink(r)
	if err := l.connect(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *link) connect() error {
	l.run.step("asking the helper and the cluster")
	group, ctx := errgroup.WithContext(l.ctx)
	group.Go(func() error { return l.prepareHelper(ctx) })
	group.Go(func() error { return l.identify(ctx) })
	group.Go(func() error { l.access.Resolve(ctx); return nil })
	l.background.Go(l.guessRelay)
	if err := group.Wait(); err != nil {
		return err
	}
	l.spec = v1alpha1.ConnectionSpec{
		User: l.user, PublicKey: l.prepared.PublicKey, Namespace: l.run.namespace(),
		Host: hostName(), ClientVersion: l.run.deps.Version, UnavailableRanges: unavailableRanges(l.prepared.LocalRoutes),
	}
	if l.run.request.carrier != CarrierUDP {
		l.background.Go(func() { l.keeper.Run(l.carrying) })
	}
	wanted, err := l.agree()
	if err != nil {
		return err
	}
	return l.up(wanted)
}

// prepareHelper opens the session in the helper.
func (l *link) prepareHelper(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	helper, err := l.run.deps.Helper.Dial(ctx)
	if err != nil {
		return ExplainHelper(err)
	}
	l.helper = helper
	l.prepared, err = helper.Prepare(ctx, api.PrepareRequest{ClientVersion: l.run.deps.Version})
	return ExplainHelper(err)
}

// identify learns who the user is, and with that the Connection's name.
func (l *link) identify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	user, err := l.access.Identity(ctx)
	if err != nil {
		return err
	}
	l.user = user
	l.name = cluster.ConnectionName(user, l.run.deps.LaptopID)
	l.run.board.update(func(s *Status) {
		s.User = user
		s.Connection = l.namespace + "/" + l.name
	})
	return nil
}

// guessRelay looks for the gateway's pod before the gateway has answered, so that the relay opens at the same time. It
// is an attempt only: the gateway's own word comes a moment later.
func (l *link) guessRelay() {
	if l.run.request.carrier == CarrierUDP {
		return
	}
	pods, err := l.access.GatewayPods(l.ctx, l.namespace)
	if err != nil {
		return
	}
	for _, pod := range pods {
		if pod.Labels[cluster.ActiveLabel] == "true" && pod.DeletionTimestamp == nil {
			l.guess(carrier.Target{Namespace: pod.Namespace, Pod: pod.Name, Port: relayPort})
		}
	}
}

// agree announces the laptop and returns the tunnel that the gateway's answer makes. Where cluster ranges have to be
// mapped, the gateway is told, and its answer to that counts.
func (l *link) agree() (api.Tunnel, error) {
	l.run.step("announcing this laptop to the gateway")
	ctx, cancel := context.WithTimeout(l.ctx, l.run.patience.gateway)
	defer cancel()
	if err := l.announce(ctx); err != nil {
		return api.Tunnel{}, err
	}
	l.run.step("waiting for the gateway")
	for {
		if err := l.awaitAnswer(ctx); err != nil {
			return api.Tunnel{}, err
		}
		tunnel, mappings, err := l.plan()
		if err != nil {
			return api.Tunnel{}, err
		}
		if sameMappings(l.spec.Mappings, mappings) {
			return tunnel, nil
		}
		l.spec.Mappings = mappings
		if err := l.announce(ctx); err != nil {
			return api.Tunnel{}, err
		}
	}
}

// announce makes the Connection what the laptop wants, and follows it.
func (l *link) announce(ctx context.Context) error {
	l.run.farewells.cancel(farewell{l.access.Server(), l.namespace, l.name})
	applied, err := l.access.ApplyConnection(ctx, l.namespace, l.name, l.spec)
	if err != nil {
		return err
	}
	l.accept(applied)
	if !l.following {
		l.following = true
		l.background.Go(func() { l.follow(applied.ResourceVersion) })
	}
	return nil
}

// accept takes in what the API server made of an announcement: only answers to this generation count from now on.
func (l *link) accept(applied *v1alpha1.Connection) {
	l.run.announced, l.run.key = l.name, l.spec.PublicKey
	l.generation = applied.Generation
	l.connection = applied
}

// awaitAnswer waits until the gateway has answered the Connection as it was announced last.
func (l *link) awaitAnswer(ctx context.Context) error {
	silence := time.NewTimer(l.run.patience.silence)
	defer silence.Stop()
	for {
		if err, done := l.answered(); done {
			return err
		}
		select {
		case <-silence.C:
			if err := l.gatewayAbsent(ctx); err != nil {
				return err
			}
		case l.connection = <-l.changes:
		case <-l.gone:
			if err := l.announce(ctx); err != nil {
				return err
			}
			l.rewatch()
		case err := <-l.failed:
			return err
		case <-ctx.Done():
			if l.ctx.Err() != nil {
				return l.ctx.Err()
			}
			return l.gatewaySilent()
		}
	}
}

// answered reports whether the gateway has said yes or no.
func (l *link) answered() (error, bool) {
	status := l.connection.Status
	switch {
	case l.connection.Generation < l.generation || status.ObservedGeneration < max(l.generation, l.connection.Generation):
		return nil, false
	case status.Phase == v1alpha1.ConnectionRefused:
		return problem.New(problem.GatewayNotReady, "See: kubectl get connections --namespace "+l.namespace+".",
			"the gateway refuses this connection: %s", status.Message), true
	case status.Phase == v1alpha1.ConnectionReady || status.Phase == v1alpha1.ConnectionIdle:
		return nil, true
	}
	return nil, false
}

// gatewayAbsent says that no gateway runs in the namespace, if that is so and there never was one in this session. A
// gateway that was there and is being replaced is waited for.
func (l *link) gatewayAbsent(ctx context.Context) error {
	if !l.run.since.IsZero() {
		return nil
	}
	pods, err := l.access.GatewayPods(ctx, l.namespace)
	if err != nil || len(pods) > 0 {
		return nil // the answer may still come
	}
	return noGateway(l.namespace)
}

func noGateway(namespace string) *problem.Problem {
	return problem.New(problem.GatewayMissing,
		"Install it with: fairlead gateway install. If it is in another namespace, name that with --gateway-namespace.",
		"no gateway runs in namespace %q", namespace)
}

func notReady(namespace string) *problem.Problem {
	return problem.New(problem.GatewayNotReady, "See: fairlead gateway status, and kubectl get pods --namespace "+namespace+".",
		"the gateway in namespace %q does not answer", namespace)
}

// gatewaySilent says how the gateway's pods are, as far as the user may know.
func (l *link) gatewaySilent() error {
	p := notReady(l.namespace)
	ctx, cancel := context.WithTimeout(l.ctx, helperTimeout)
	defer cancel()
	pods, err := l.access.GatewayPods(ctx, l.namespace)
	switch {
	case err != nil:
		p.Details = append(p.Details, err.Error())
	case len(pods) == 0 && l.run.since.IsZero():
		return noGateway(l.namespace)
	case len(pods) == 0:
		p.Details = append(p.Details, "it has no pod: its deployment may be scaled to zero")
	}
	for _, pod := range pods {
		p.Details = append(p.Details, "pod "+pod.Name+": "+cluster.PodState(pod))
	}
	return p
}

// plan turns the gateway's answer into a tunnel, or says why it can't be.
func (l *link) plan() (api.Tunnel, []v1alpha1.RangeMapping, error) {
	a, err := readAnswer(l.connection)
	if err != nil {
		return api.Tunnel{}, nil, err
	}
	if err := CheckGatewayVersion(l.run.deps.Version, a.Version); err != nil {
		return api.Tunnel{}, nil, err
	}
	request := l.run.request
	namespace := l.connection.Spec.Namespace // which this answer is about
	if len(a.Namespaces) < allNamespaces && !slices.Contains(a.Namespaces, namespace) {
		return api.Tunnel{}, nil, NoNamespace(namespace, a.Namespaces)
	}
	exempt := l.access.Addresses()
	reserved := hosts(slices.Concat(a.Addresses, a.GatewayAddresses, exempt))
	l.run.known.Store(&surroundings{
		server: l.access.Server(), gatewayNamespace: l.namespace,
		ranges: a.Ranges, namespaces: a.Namespaces, local: l.prepared.LocalRoutes, reserved: reserved,
	})
	planned, err := planRoutes(planInput{
		Ranges: a.Ranges, Include: request.include, Exclude: request.exclude, Local: l.prepared.LocalRoutes,
		Reserved: reserved, MapConflicts: request.options.MapConflicts,
	})
	if err != nil {
		return api.Tunnel{}, nil, err
	}
	l.mappings = planned.Mappings
	l.answer = a
	if l.run.request.carrier != CarrierUDP {
		l.keeper.SetTarget(a.Relay)
	}
	first := api.CarrierRelay
	if request.carrier == CarrierUDP || request.carrier == CarrierAuto && len(a.UDP) > 0 {
		first = api.CarrierUDP
	}
	tunnel := tunnelFor(a, planned, exempt, namespace, first)
	tunnel.DNS.Domains, tunnel.DNS.Exclude = request.options.DNSDomains, request.options.DNSExclude
	tunnel.InboundPorts = l.run.inbound.get()
	return tunnel, specMappings(planned.Mappings), nil
}

// up has the helper build the tunnel.
func (l *link) up(tunnel api.Tunnel) error {
	l.run.step("setting up device, routes and names")
	ctx, cancel := context.WithTimeout(l.ctx, upTimeout)
	defer cancel()
	status, err := l.helper.Up(ctx, api.UpRequest{Session: l.prepared.Session, Tunnel: tunnel})
	if err != nil {
		return ExplainHelper(err)
	}
	l.tunnel = tunnel
	l.status = status
	l.policy = carrier.NewPolicy(carrier.Mode(l.run.request.carrier), carrier.Name(tunnel.Carrier))
	close(l.isUp)
	l.background.Go(l.watchHelper)
	l.offer()
	return nil
}

// hand gives the helper's end of the relay, once the tunnel is up.
func (l *link) hand(ctx context.Context) (net.Conn, error) {
	select {
	case <-l.isUp:
	case <-l.ctx.Done():
		return nil, l.ctx.Err()
	}
	conn, err := l.helper.Carrier(ctx, l.prepared.Session)
	if err != nil {
		return nil, fmt.Errorf("hand the relay to the helper: %w", err)
	}
	return conn, nil
}

// NoNamespace says that a cluster lacks a namespace; namespaces are those that it has, as far as they are known.
func NoNamespace(namespace string, namespaces []string) *problem.Problem {
	return problem.New(problem.NamespaceNotFound, namespaceHint(namespaces), "the cluster has no namespace %q", namespace)
}

// namespaceHint lists what there is, as far as it is short.
func namespaceHint(namespaces []string) string {
	const most = 15
	if len(namespaces) == 0 || len(namespaces) > most {
		return "See: kubectl get namespaces."
	}
	return "The cluster has: " + strings.Join(namespaces, ", ") + "."
}

func hosts(addrs []netip.Addr) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, addr := range addrs {
		prefixes = append(prefixes, netip.PrefixFrom(addr, addr.BitLen()))
	}
	return prefixes
}

func sameMappings(a, b []v1alpha1.RangeMapping) bool { return slices.Equal(a, b) }

// isFatal reports whether err ends an attempt rather than one try of something that is repeated.
func isFatal(err error) bool {
	p, ok := errors.AsType[*problem.Problem](err)
	return ok && slices.Contains([]problem.Code{problem.Unauthorized, problem.Forbidden, problem.GatewayMissing}, p.Code)
}
