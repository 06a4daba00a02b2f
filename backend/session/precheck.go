// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/helper/api"
)

// surroundings are what a session has learned of its cluster and of this machine. They are never written to.
type surroundings struct {
	server, gatewayNamespace string

	ranges     []netip.Prefix   // of the cluster
	namespaces []string         // of the cluster; may lack some where there are very many
	local      []api.LocalRoute // of this machine, when the session began
	reserved   []netip.Prefix   // that no range may be mapped onto
}

// check looks at everything about the request that can be known without touching the machine, so that a request that
// can't work does not cost a connection that does. known is from the session that is there, and may be nil. What the
// user may not look at is taken to be in order. Errors are *problem.Problem.
func (r *request) check(ctx context.Context, version string, known *surroundings) error {
	timed, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	if known != nil && (known.server != r.access.Server() || known.gatewayNamespace != r.gatewayNamespace) {
		known = &surroundings{local: known.local} // of another cluster
	}
	checks := []func() error{ // the one that explains most first
		func() error { return r.checkGateway(timed, version) },
		func() error { return r.checkRights(timed) },
		func() error { return r.checkNamespace(timed, r.access.Namespace(), known) },
		func() error { return r.checkRoutes(known) },
	}
	found := make([]error, len(checks))
	var wait sync.WaitGroup
	for i, check := range checks {
		wait.Go(func() { found[i] = check() })
	}
	wait.Wait()
	if ctx.Err() != nil {
		return problem.New(problem.Cancelled, "", "connecting was interrupted before anything was changed")
	}
	for _, err := range found {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkGateway looks for a gateway that is ready and of a version that fits.
func (r *request) checkGateway(ctx context.Context, version string) error {
	if err := r.access.GatewayInstalled(ctx, r.gatewayNamespace); err != nil {
		return err
	}
	pods, err := r.access.GatewayPods(ctx, r.gatewayNamespace)
	switch {
	case isForbidden(err):
		return nil
	case err != nil:
		return err
	case len(pods) == 0:
		return noGateway(r.gatewayNamespace)
	}
	silent := notReady(r.gatewayNamespace)
	for _, pod := range pods {
		state := cluster.PodState(pod)
		silent.Details = append(silent.Details, "pod "+pod.Name+": "+state)
		if state != cluster.PodReady {
			continue
		}
		if its := pod.Labels[cluster.VersionLabel]; its != "" && pod.Labels[cluster.ActiveLabel] == "true" {
			return CheckGatewayVersion(version, its)
		}
		return nil
	}
	return silent
}

// checkRights asks for the rights that this request needs; the relay's are not among them while UDP may do.
func (r *request) checkRights(ctx context.Context) error {
	rights := cluster.ConnectionRights(r.gatewayNamespace)
	if r.carrier == CarrierRelay {
		rights = cluster.ConnectRights(r.gatewayNamespace)
	}
	user, err := r.access.Identity(ctx)
	if err != nil {
		return err
	}
	missing, err := r.access.Missing(ctx, rights)
	switch {
	case isForbidden(err):
		return nil
	case err != nil:
		return err
	case len(missing) > 0:
		return cluster.ForbiddenBy(missing, user)
	}
	return nil
}

// checkNamespace looks for the namespace. Who may not look relies on what the gateway has said.
func (r *request) checkNamespace(ctx context.Context, namespace string, known *surroundings) error {
	var namespaces []string
	if known != nil {
		namespaces = known.namespaces
	}
	there, err := r.access.HasNamespace(ctx, namespace)
	switch {
	case isForbidden(err):
		there = len(namespaces) == 0 || len(namespaces) >= allNamespaces || slices.Contains(namespaces, namespace)
	case err != nil:
		return err
	case !there:
		if all, err := r.access.Namespaces(ctx); err == nil {
			namespaces = all
		}
	}
	if !there {
		return NoNamespace(namespace, namespaces)
	}
	return nil
}

// checkRoutes plans the routes, as far as the cluster's ranges and the networks of this machine are known. It goes by
// networks that the machine is certainly still in: others may have come and gone since the session began.
func (r *request) checkRoutes(known *surroundings) error {
	if known == nil {
		return nil
	}
	_, err := planRoutes(planInput{
		Ranges: known.ranges, Include: r.include, Exclude: r.exclude, Local: attached(known.local, interfaceAddresses()),
		Reserved: known.reserved, MapConflicts: r.options.MapConflicts,
	})
	return err
}

// attached returns the routes whose interface has an address in them now.
func attached(routes []api.LocalRoute, addresses map[string][]netip.Addr) []api.LocalRoute {
	var still []api.LocalRoute
	for _, route := range routes {
		if slices.ContainsFunc(addresses[route.Interface], route.Prefix.Contains) {
			still = append(still, route)
		}
	}
	return still
}

// interfaceAddresses returns the addresses of each interface of this machine; none where they can't be read.
func interfaceAddresses() map[string][]netip.Addr {
	found := map[string][]netip.Addr{}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, address := range addresses {
			if prefix, err := netip.ParsePrefix(address.String()); err == nil {
				found[i.Name] = append(found[i.Name], prefix.Addr())
			}
		}
	}
	return found
}

func isForbidden(err error) bool { return errors.Is(err, problem.New(problem.Forbidden, "", "")) }
