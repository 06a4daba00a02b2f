// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"encoding/json"
	"runtime/debug"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/gateway"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// The calls about gateways go by what the caller's kubeconfig says, never by what is connected: they change clusters,
// and nobody should change another one than kubectl and helm would from the same shell.

func (o *operations) GatewayStatus(ctx context.Context, t localapi.Target) (localapi.Gateway, error) {
	return onGateway(t, func(m *gateway.Manager) (gateway.Status, error) {
		return m.Status(ctx, t.GatewayNamespace)
	})
}

func (o *operations) GatewayInstall(ctx context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
	return o.change(ctx, r, progress, (*gateway.Manager).Install)
}

func (o *operations) GatewayUpgrade(ctx context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
	return o.change(ctx, r, progress, (*gateway.Manager).Upgrade)
}

func (o *operations) GatewayUninstall(ctx context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
	return o.change(ctx, r, progress, (*gateway.Manager).Uninstall)
}

// change does what a request asks for with one of the manager's operations.
func (o *operations) change(ctx context.Context, r localapi.GatewayRequest, progress func(string),
	operation func(*gateway.Manager, context.Context, gateway.Options) (gateway.Status, error),
) (localapi.Gateway, error) {
	defer debug.FreeOSMemory() // Helm takes more for a moment than the daemon does in a day
	options := gateway.Options{
		Namespace: r.GatewayNamespace, Version: o.version, Image: r.Image, UDPType: r.ServiceType, Force: r.Force, Progress: progress,
	}
	if len(r.Values) > 0 {
		if err := json.Unmarshal(r.Values, &options.Values); err != nil {
			return localapi.Gateway{}, problem.Wrap(err, problem.Usage, "Chart values are a map; see charts/fairlead/README.md.", "read chart values")
		}
	}
	return onGateway(r.Target, func(m *gateway.Manager) (gateway.Status, error) { return operation(m, ctx, options) })
}

// onGateway opens the cluster of t and says how its gateway is, as do tells.
func onGateway(t localapi.Target, do func(*gateway.Manager) (gateway.Status, error)) (localapi.Gateway, error) {
	access, err := open(t)
	if err != nil {
		return localapi.Gateway{}, err
	}
	defer access.Close()
	manager, err := gateway.NewManager(access)
	if err != nil {
		return localapi.Gateway{}, err
	}
	status, err := do(manager)
	return describeGateway(access.Context(), status), err
}

// describeGateway puts a status into the words of the local API.
func describeGateway(context string, s gateway.Status) localapi.Gateway {
	described := localapi.Gateway{
		Context: context, Namespace: s.Namespace, Installed: s.Installed, Ready: s.Ready, Version: s.Version,
		Image: s.Image, ServiceType: s.UDPType, UDPPort: s.UDPPort, Endpoints: s.Endpoints, Notes: s.Notes,
	}
	for _, pod := range s.Pods {
		described.Pods = append(described.Pods, localapi.GatewayPod{Name: pod.Name, Node: pod.Node, State: pod.State, Ready: pod.Ready, Active: pod.Active})
	}
	for _, c := range s.Connected {
		user := localapi.GatewayUser{User: c.User, Host: c.Host, Namespace: c.Namespace, Phase: c.Phase, Carrier: c.Carrier}
		if since := c.Since; !since.IsZero() {
			user.Since = &since
		}
		described.Connected = append(described.Connected, user)
	}
	return described
}
