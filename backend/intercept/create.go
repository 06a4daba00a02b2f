// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/preview"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// activeWithin is how long a new intercept may take to become active. It covers pulling the sidecar's image.
const activeWithin = 30 * time.Second

// Create makes an intercept and returns when it is active: every ready pod has confirmed, and the way to this laptop has
// been tried. One that can't be, that does not become active in time, or that ctx cuts short is left again. An intercept
// of this laptop that is the same already is returned as it is, unless the request is attached. Errors are
// *problem.Problem.
func (m *Manager) Create(ctx context.Context, r Request, progress func(string)) (session.Intercept, error) {
	t, alive, ok := m.now()
	if !ok {
		return session.Intercept{}, notConnected()
	}
	wish, err := r.read(t.User)
	if err != nil {
		return session.Intercept{}, err
	}
	progress("looking for " + r.Workload)
	found, err := t.Access.FindWorkload(ctx, cmp.Or(r.Namespace, t.Access.Namespace()), r.Workload)
	if err != nil {
		return session.Intercept{}, err
	}
	object, targets, err := compose(r, wish, found, t)
	if err != nil {
		return session.Intercept{}, err
	}
	if id := m.same(object, wish); id != "" && !r.Attached {
		return m.await(ctx, id, true, progress)
	}
	for _, target := range targets { // known before anything is shown
		target.isListening(ctx)
	}
	progress("announcing the intercept to the gateway")
	id, err := m.announce(ctx, alive, t, object, targets)
	if err != nil {
		return session.Intercept{}, err
	}
	made, err := m.await(ctx, id, false, progress)
	if err != nil {
		return session.Intercept{}, m.undo(ctx, id, err)
	}
	return made, nil
}

func notConnected() error {
	return problem.New(problem.NotConnected, "Connect first: fairlead connect. 'fairlead status' says where it stands.", "an intercept needs a connection to the cluster, and there is none at the moment")
}

// compose makes the object that a request asks for.
func compose(r Request, w wish, found *cluster.FoundWorkload, t session.Tunnel) (*v1alpha1.Intercept, map[string]*target, error) {
	ports, err := choosePorts(found, r.Container, r.Address, w.ports)
	if err != nil {
		return nil, nil, err
	}
	object := &v1alpha1.Intercept{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: found.Namespace, Name: objectName(found.Name),
			Labels:      map[string]string{connectionLabel: t.Connection},
			Annotations: map[string]string{},
		},
		Spec: v1alpha1.InterceptSpec{
			User:       t.User,
			Connection: v1alpha1.ConnectionReference{Namespace: t.GatewayNamespace, Name: t.Connection},
			Workload:   v1alpha1.WorkloadReference{Kind: found.Kind, Name: found.Name, Container: r.Container},
			Match:      w.match, Mirror: r.Mirror, Redirect: w.redirect, Takeover: w.takeover,
		},
	}
	targets, locals := map[string]*target{}, map[string]string{}
	for _, p := range ports {
		if p.protocol == "UDP" && w.match != nil {
			return nil, nil, problem.New(problem.Usage, "Add --all to intercept all of it.", "port %d of %s is UDP, which has no headers and paths to choose by", p.number, found)
		}
		object.Spec.Ports = append(object.Spec.Ports, v1alpha1.InterceptPort{Port: int32(p.number), Protocol: p.protocol})
		key := portKey(int32(p.number), p.protocol)
		targets[key], locals[key] = &target{protocol: p.protocol, address: p.local}, p.local
	}
	if w.expires > 0 {
		object.Spec.Expires = &metav1.Time{Time: time.Now().Add(w.expires).Truncate(time.Second)}
	}
	text, err := json.Marshal(locals)
	if err != nil {
		return nil, nil, fmt.Errorf("encode local addresses: %w", err)
	}
	object.Annotations[localAnnotation] = string(text)
	if url := preview.URL(found.Services, previewPorts(found, ports)); url != "" {
		object.Annotations[urlAnnotation] = url
	}
	if r.Attached {
		object.Annotations[attachedAnnotation] = "true"
	}
	return object, targets, nil
}

// previewPorts maps the Service ports that lead to a chosen TCP port.
func previewPorts(found *cluster.FoundWorkload, ports []chosenPort) []preview.ServicePort {
	var all []preview.ServicePort
	for _, chosen := range ports {
		for i, s := range found.Services {
			for j, p := range s.Spec.Ports {
				if chosen.protocol == "TCP" && protocolOf(p.Protocol) == "TCP" && targetOf(found, p) == chosen.number {
					all = append(all, preview.ServicePort{Service: i, Port: j})
				}
			}
		}
	}
	return all
}

// objectName makes a name for an Intercept that says of what it is and is like no other.
func objectName(workload string) string {
	const most = 54 // so that it may be a label value, of 63 characters, too
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	if len(workload) > most {
		workload = workload[:most]
	}
	return strings.TrimRight(workload, "-.") + "-" + hex.EncodeToString(random[:])
}

// same returns the ID of an intercept of this laptop that is what object would be; empty if there is none.
func (m *Manager) same(object *v1alpha1.Intercept, w wish) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, h := range m.held {
		has := h.object
		match := sameMatch(has.Spec.Match, object.Spec.Match)
		if w.generated { // any key that was made up is as good
			match = has.Spec.Match != nil && has.Spec.Match.Key != nil && len(has.Spec.Match.Headers) == 0 && has.Spec.Match.Path == nil &&
				strings.HasPrefix(*has.Spec.Match.Key, keyName(has.Spec.User)+"-")
		}
		samePorts := slices.EqualFunc(has.Spec.Ports, object.Spec.Ports, func(a, b v1alpha1.InterceptPort) bool {
			return a.Port == b.Port && cmp.Or(a.Protocol, "TCP") == cmp.Or(b.Protocol, "TCP")
		})
		if match && samePorts && !h.leaving && !h.closed && has.Namespace == object.Namespace && has.Spec.Workload == object.Spec.Workload &&
			has.Spec.Mirror == object.Spec.Mirror && has.Annotations[localAnnotation] == object.Annotations[localAnnotation] &&
			has.Annotations[attachedAnnotation] == "" && object.Spec.Expires == nil &&
			cmp.Or(has.Spec.Redirect, v1alpha1.RedirectAuto) == object.Spec.Redirect && cmp.Or(has.Spec.Takeover, v1alpha1.TakeoverGentle) == object.Spec.Takeover {
			return id
		}
	}
	return ""
}

// announce opens the way to this laptop, creates the object and holds it.
func (m *Manager) announce(ctx, alive context.Context, t session.Tunnel, object *v1alpha1.Intercept, targets map[string]*target) (string, error) {
	port, err := m.serve(alive, t)
	if err != nil {
		if alive.Err() != nil {
			return "", notConnected()
		}
		return "", problem.From(err)
	}
	for i := range object.Spec.Ports {
		object.Spec.Ports[i].TunnelPort = int32(port)
	}
	if err := m.places.look(t, object.Namespace); err != nil {
		m.log.Info("the place of an intercept could not be noted", "error", err)
	}
	place := object.Namespace + "/" + object.Name
	m.change(func() { m.creating[place] = true })
	// Not cut short half way: an object that nobody holds would stay.
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceTimeout)
	defer cancel()
	created, err := t.Access.CreateIntercept(limited, object)
	id := ""
	m.change(func() {
		delete(m.creating, place)
		if err == nil {
			id = string(created.UID)
			m.hold(created, targets)
			m.followHeld(alive, t, id)
		}
	})
	if err == nil {
		if err := m.places.made(t, created); err != nil {
			m.log.Info("an intercept could not be noted", "error", err)
		}
		m.log.Info("intercept", "namespace", created.Namespace, "name", created.Name, "workload", created.Spec.Workload.Name)
	}
	return id, err
}

// announceTimeout bounds the creation of an object.
const announceTimeout = 10 * time.Second

// hold makes an object one of this laptop's intercepts. m.mu is held.
func (m *Manager) hold(object *v1alpha1.Intercept, targets map[string]*target) {
	m.held[string(object.UID)] = &held{object: object, targets: targets}
}

// await waits until an intercept is active, and says what it waits for. stays says what becomes of it otherwise. Errors are *problem.Problem.
func (m *Manager) await(ctx context.Context, id string, stays bool, progress func(string)) (session.Intercept, error) {
	deadline := time.NewTimer(activeWithin)
	defer deadline.Stop()
	for {
		s, ok, ended, changed := m.Get(id)
		switch {
		case !ok:
			return s, problem.New(problem.InterceptRefused, "", "the intercept has ended: %s", cmp.Or(ended, "it was deleted"))
		case s.Phase == string(v1alpha1.InterceptActive):
			return s, nil
		case s.Phase == string(v1alpha1.InterceptRefused):
			return s, problem.New(problem.InterceptRefused, "'fairlead intercepts' shows who intercepts what in this namespace.", "the gateway refuses the intercept: %s", s.Message)
		case s.Phase == string(v1alpha1.InterceptEnded):
			return s, problem.New(problem.InterceptRefused, "", "the gateway has ended the intercept: %s", s.Message)
		}
		progress(waitingFor(s))
		select {
		case <-changed:
		case <-deadline.C:
			return s, late(s, stays)
		case <-ctx.Done():
			if stays {
				return s, problem.New(problem.Cancelled, "See: fairlead status.", "no longer waiting; the intercept, which was there before, stays")
			}
			return s, problem.New(problem.Cancelled, "", "the intercept was interrupted; it has been left again")
		}
	}
}

// waitingFor says what an intercept still needs.
func waitingFor(s session.Intercept) string {
	switch {
	case s.Message != "":
		return s.Message
	case s.Phase == "":
		return "waiting for the gateway"
	case s.PodsReady == 0:
		return "waiting for a pod that is ready"
	}
	return fmt.Sprintf("waiting for the pods: %d of %d are covered", s.PodsCovered, s.PodsReady)
}

// late says what an intercept that did not become active waits for.
func late(s session.Intercept, stays bool) error {
	p := problem.New(problem.InterceptPending, "Look at what it waits for, then try again. It has been left again, so that nothing is half done.",
		"the intercept of %s did not become active in %s: %s", s.Workload.Name, activeWithin, waitingFor(s))
	if stays {
		p.Hint = "It was there before, and stays. See: fairlead status."
	}
	if s.Phase == "" {
		p.Hint = "The gateway has not answered: it may be older than this program. See: fairlead gateway status."
	}
	for _, pod := range s.Pods {
		if !pod.Covered && pod.Message != "" {
			p.Details = append(p.Details, "pod "+pod.Name+": "+pod.Message)
		}
	}
	return p
}

// undo leaves an intercept that came to nothing, and returns why it did.
func (m *Manager) undo(ctx context.Context, id string, cause error) error {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if _, err := m.Leave(limited, id); err != nil {
		p := *problem.From(cause)
		p.Details = append(slices.Clone(p.Details), "leaving it failed, too: "+err.Error())
		return &p
	}
	return cause
}

// isGone reports whether an object was deleted.
func isGone(err error) bool { return errors.Is(err, cluster.ErrInterceptGone) }
