// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// resumePause is the wait before the cluster is asked again for intercepts of this laptop.
const resumePause = 2 * time.Second

// resume takes up the intercepts that the cluster has for this laptop: those that are held, with a listener that may have
// moved, and those that an earlier daemon left behind. It goes on until the cluster has answered or ctx is done.
func (m *Manager) resume(ctx context.Context, t session.Tunnel) {
	for ctx.Err() == nil {
		found, err := m.ours(ctx, t)
		if err == nil {
			m.takeUp(ctx, t, found)
			return
		}
		if problem.From(err).Code == problem.GatewayMissing { // an older gateway, without intercepts
			return
		}
		m.log.Info("intercepts of this laptop could not be listed", "error", err)
		select {
		case <-time.After(resumePause):
		case <-ctx.Done():
		}
	}
}

// ours lists the intercepts of this laptop: everywhere where the user may look everywhere, else where it has had some.
func (m *Manager) ours(ctx context.Context, t session.Tunnel) ([]v1alpha1.Intercept, error) {
	selector := connectionLabel + "=" + t.Connection
	found, err := t.Access.Intercepts(ctx, "", selector)
	if err != nil && problem.From(err).Code == problem.Forbidden {
		namespaces := append(m.places.get(t).Namespaces, t.Access.Namespace())
		slices.Sort(namespaces)
		found, err = nil, nil
		for _, namespace := range slices.Compact(namespaces) {
			some, failed := t.Access.Intercepts(ctx, namespace, selector)
			if failed != nil && problem.From(failed).Code != problem.Forbidden {
				return nil, failed
			}
			found = append(found, some...)
		}
	}
	return slices.DeleteFunc(found, func(o v1alpha1.Intercept) bool {
		return o.Spec.User != t.User || o.Spec.Connection.Name != t.Connection || o.Spec.Connection.Namespace != t.GatewayNamespace
	}), err
}

// takeUp holds what is found, or leaves it: what was left already, what was attached to a program, and what this laptop has
// not made, or not so.
func (m *Manager) takeUp(ctx context.Context, t session.Tunnel, found []v1alpha1.Intercept) {
	var keep []*v1alpha1.Intercept
	made := m.places.get(t).Made
	for i := range found {
		o := &found[i]
		id := string(o.UID)
		targets := targetsOf(o)
		m.mu.Lock()
		known := m.held[id] != nil
		if !known && m.creating[o.Namespace+"/"+o.Name] { // its maker is about to hold it
			m.mu.Unlock()
			continue
		}
		locals, ours := made[id]
		unwanted := !known && (!ours || locals != o.Annotations[localAnnotation] || m.left[id] || o.Spec.Leaving || o.Annotations[attachedAnnotation] == "true" || targets == nil || o.Status.Phase == v1alpha1.InterceptEnded)
		m.mu.Unlock()
		if unwanted {
			m.work.Go(func() {
				m.log.Info("leaving an intercept that nobody holds any more", "namespace", o.Namespace, "name", o.Name)
				if _, err := LeaveObject(ctx, t.Access, o, nil); err != nil {
					m.log.Info("it could not be left", "name", o.Name, "error", err)
				}
			})
			continue
		}
		if !known {
			m.log.Info("taking up an intercept again", "namespace", o.Namespace, "name", o.Name)
			m.change(func() { m.hold(o, targets) })
		}
		keep = append(keep, o)
	}
	m.tidy(t, made, found)
	if len(keep) == 0 {
		return
	}
	port, err := m.serve(ctx, t)
	if err != nil {
		m.log.Warn("intercepts can't be served", "error", err)
		return
	}
	for _, o := range keep {
		m.move(ctx, t, o, port)
	}
}

// tidy forgets intercepts that were made here and are no more.
func (m *Manager) tidy(t session.Tunnel, made map[string]string, found []v1alpha1.Intercept) {
	for id := range made {
		there := slices.ContainsFunc(found, func(o v1alpha1.Intercept) bool { return string(o.UID) == id })
		m.mu.Lock()
		held := m.held[id] != nil
		m.mu.Unlock()
		if !there && !held {
			if err := m.places.forget(t, id); err != nil {
				m.log.Info("a noted intercept could not be forgotten", "error", err)
				return
			}
		}
	}
}

// targetsOf reads where the traffic of an intercept goes; nil if its annotation does not say so for each port.
func targetsOf(o *v1alpha1.Intercept) map[string]*target {
	locals, targets := readLocals(o), map[string]*target{}
	for _, p := range o.Spec.Ports {
		protocol := p.Protocol
		if protocol == "" {
			protocol = "TCP"
		}
		key := portKey(p.Port, protocol)
		if locals[key] == "" {
			return nil
		}
		targets[key] = &target{protocol: protocol, address: locals[key]}
	}
	return targets
}

// move tells the gateway where the listener is, if that is elsewhere now.
func (m *Manager) move(ctx context.Context, t session.Tunnel, o *v1alpha1.Intercept, port uint16) {
	ports := slices.Clone(o.Spec.Ports)
	moved := false
	for i := range ports {
		moved = moved || ports[i].TunnelPort != int32(port)
		ports[i].TunnelPort = int32(port)
	}
	if !moved {
		return
	}
	if _, err := t.Access.PatchIntercept(ctx, o.Namespace, o.Name, map[string]any{"spec": map[string]any{"ports": ports}}); err != nil && !isGone(err) {
		m.log.Warn("the gateway could not be told of the new listener", "name", o.Name, "error", err)
		m.trouble(string(o.UID), "the gateway could not be told where this laptop listens now: "+err.Error())
	}
}
