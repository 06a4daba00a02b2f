// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"encoding/json"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/gateway"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// withGateway runs do on the gateway of a target.
func (o *operations) withGateway(t localapi.Target, do func(*gateway.Manager, string) (gateway.Status, error)) (localapi.Gateway, error) {
	target := o.here(t)
	access, err := open(target)
	if err != nil {
		return localapi.Gateway{}, err
	}
	defer access.Close()
	manager, err := gateway.NewManager(access)
	if err != nil {
		return localapi.Gateway{}, err
	}
	status, err := do(manager, target.GatewayNamespace)
	return gatewayOf(access, status), err
}

func (o *operations) GatewayStatus(ctx context.Context, t localapi.Target) (localapi.Gateway, error) {
	return o.withGateway(t, func(m *gateway.Manager, namespace string) (gateway.Status, error) {
		return m.Status(ctx, namespace)
	})
}

func (o *operations) GatewayInstall(ctx context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
	return o.changeGateway(ctx, r, progress, (*gateway.Manager).Install)
}

func (o *operations) GatewayUpgrade(ctx context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
	return o.changeGateway(ctx, r, progress, (*gateway.Manager).Upgrade)
}

func (o *operations) GatewayUninstall(ctx context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
	return o.changeGateway(ctx, r, progress, (*gateway.Manager).Uninstall)
}

// gatewayChange is an operation of gateway.Manager.
type gatewayChange = func(*gateway.Manager, context.Context, gateway.Options) (gateway.Status, error)

func (o *operations) changeGateway(ctx context.Context, r localapi.GatewayRequest, progress func(string), change gatewayChange) (localapi.Gateway, error) {
	options := gateway.Options{Version: o.version, Image: r.Image, UDPType: r.ServiceType, Force: r.Force, Progress: progress}
	if len(r.Values) > 0 {
		if err := json.Unmarshal(r.Values, &options.Values); err != nil {
			return localapi.Gateway{}, problem.Wrap(err, problem.Usage, "Values are those of the chart, a map at the top.", "read chart values")
		}
	}
	return o.withGateway(r.Target, func(m *gateway.Manager, namespace string) (gateway.Status, error) {
		options.Namespace = namespace
		return change(m, ctx, options)
	})
}

// gatewayOf puts a status in the words of the local API.
func gatewayOf(access *cluster.Access, s gateway.Status) localapi.Gateway {
	g := localapi.Gateway{
		Context: access.Context(), Namespace: s.Namespace, Installed: s.Installed, Ready: s.Ready, Version: s.Version,
		Image: s.Image, ServiceType: s.UDPType, Endpoints: s.Endpoints, Notes: s.Notes,
	}
	for _, pod := range s.Pods {
		g.Pods = append(g.Pods, localapi.GatewayPod{Name: pod.Name, Node: pod.Node, Ready: pod.Ready, Active: pod.Active})
	}
	for _, connection := range s.Connected {
		g.Connected = append(g.Connected, localapi.GatewayUser{
			User: connection.User, Namespace: connection.Namespace, Since: &connection.Since, Phase: connection.Phase,
		})
	}
	return g
}
