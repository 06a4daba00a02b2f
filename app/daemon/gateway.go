// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/activity"
	"github.com/fairlead-dev/fairlead/backend/gateway"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// The calls about gateways go by what the caller's kubeconfig says, never by what is connected: they change clusters,
// and nobody should change another one than kubectl and helm would from the same shell.

func (o *operations) GatewayStatus(ctx context.Context, t localapi.Target) (localapi.Gateway, error) {
	t = targetWithSettings(t, o.Settings())
	return onGateway(t, func(m *gateway.Manager) (gateway.Status, error) {
		return m.Status(ctx, t.GatewayNamespace)
	})
}

func (o *operations) GatewayInstall(ctx context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
	return o.change(ctx, r, progress, change{workGatewayInstall, "Installing the gateway", (*gateway.Manager).Install, activity.GatewayInstalled, "The gateway %s is installed."})
}

func (o *operations) GatewayUpgrade(ctx context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
	return o.change(ctx, r, progress, change{workGatewayUpgrade, "Upgrading the gateway", (*gateway.Manager).Upgrade, activity.GatewayUpgraded, "The gateway is upgraded to version %s."})
}

func (o *operations) GatewayUninstall(ctx context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
	return o.change(ctx, r, progress, change{workGatewayUninstall, "Removing the gateway", (*gateway.Manager).Uninstall, activity.GatewayUninstalled, "The gateway %s is removed."})
}

// change is a way to change a gateway: what it is as work, and what is said when it is done.
type change struct {
	what, title string
	do          func(*gateway.Manager, context.Context, gateway.Options) (gateway.Status, error)
	name, text  string // of the event; the text takes the version
}

// change does what a request asks for.
func (o *operations) change(ctx context.Context, r localapi.GatewayRequest, progress func(string), c change) (localapi.Gateway, error) {
	defer debug.FreeOSMemory() // Helm takes more for a moment than the daemon does in a day
	r.Target = targetWithSettings(r.Target, o.Settings())
	options, err := o.gatewayOptions(r)
	if err != nil {
		return localapi.Gateway{}, err
	}
	job := o.desk.begin(ctx, c.what, c.title+in(r.Context), r.Context)
	defer job.end()
	options.Progress = func(step string) { job.step(step); progress(step) }
	changed, err := onGateway(r.Target, func(m *gateway.Manager) (gateway.Status, error) { return c.do(m, ctx, options) })
	event := localapi.Event{Kind: activity.Gateway, Level: activity.Good, Name: c.name, Where: changed.Context, Text: fmt.Sprintf(c.text, changed.Version)}
	if p := problem.From(err); p != nil {
		event = localapi.Event{Kind: activity.Gateway, Level: activity.Trouble, Name: activity.GatewayFailed, Where: cmp.Or(changed.Context, r.Context), Text: c.title + " failed: " + p.Message + ".", Hint: p.Hint}
	}
	o.board.note(event)
	if err == nil {
		o.board.update(func(f *facts) { mendGateway(f, changed.Context) })
	}
	return changed, err
}

// mendGateway says that what was wrong with the gateway of a context is over.
func mendGateway(f *facts, context string) {
	wrong := []problem.Code{problem.GatewayMissing, problem.GatewayVersion, problem.GatewayNotReady}
	if p := f.session.Problem; p != nil && f.session.Context == context && slices.Contains(wrong, p.Code) {
		f.mended = p
	}
}

func in(context string) string {
	if context == "" {
		return ""
	}
	return " of " + context
}

// gatewayOptions reads what a request says.
func (o *operations) gatewayOptions(r localapi.GatewayRequest) (gateway.Options, error) {
	options := gateway.Options{Namespace: r.GatewayNamespace, Version: o.version, Image: r.Image, UDPType: r.ServiceType, Force: r.Force}
	if len(r.Values) > 0 {
		if err := json.Unmarshal(r.Values, &options.Values); err != nil {
			return options, problem.Wrap(err, problem.Usage, "Chart values are a map; see charts/fairlead/README.md.", "read chart values")
		}
	}
	return options, nil
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

// GatewayPlan says what an install or upgrade would do.
func (o *operations) GatewayPlan(ctx context.Context, r localapi.GatewayRequest) (localapi.GatewayPlan, error) {
	defer debug.FreeOSMemory()
	r.Target = targetWithSettings(r.Target, o.Settings())
	options, err := o.gatewayOptions(r)
	if err != nil {
		return localapi.GatewayPlan{}, err
	}
	access, err := open(r.Target)
	if err != nil {
		return localapi.GatewayPlan{}, err
	}
	defer access.Close()
	manager, err := gateway.NewManager(access)
	if err != nil {
		return localapi.GatewayPlan{}, err
	}
	plan, err := manager.Plan(ctx, options)
	if err != nil {
		return localapi.GatewayPlan{}, err
	}
	return describePlan(access.Context(), plan), nil
}

// describePlan puts a plan into the words of the local API.
func describePlan(context string, p gateway.Plan) localapi.GatewayPlan {
	described := localapi.GatewayPlan{
		Context: context, Namespace: p.Namespace, Version: p.Version, Image: p.Image,
		Objects: []localapi.PlannedObject{}, Missing: []localapi.MissingRight{},
	}
	for _, object := range p.Objects {
		described.Objects = append(described.Objects, localapi.PlannedObject{Kind: object.Kind, Name: object.Name, Namespace: object.Namespace, What: string(object.What), Why: object.Why})
	}
	for _, right := range p.Missing {
		resource := right.Resource
		if right.Group != "" {
			resource += "." + right.Group
		}
		described.Missing = append(described.Missing, localapi.MissingRight{
			Verb: right.Verb, Resource: resource, Namespace: right.Namespace, Hint: "An administrator of the cluster can grant it, or install the gateway.",
		})
	}
	return described
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
