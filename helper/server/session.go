// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/localsocket"
	"github.com/fairlead-dev/fairlead/helper/restore"
)

// session is one caller's hold on the machine, from Prepare until everything is put back.
//
// Whatever changes the machine takes the turn first, so verbs that race one another happen one after the other.
// Ending a session cancels life before it takes the turn: an Up under way stops, rolls back, and then the session ends.
type session struct {
	name  string
	owner localsocket.Identity
	since time.Time

	life   context.Context // ends when the session is about to end
	cancel context.CancelFunc
	turn   chan struct{} // holds one token
	ended  chan struct{} // closed when everything is put back
	endErr error         // set before ended is closed

	prepared Prepared

	mu       sync.Mutex
	state    api.State
	spec     api.Tunnel
	tunnel   Tunnel   // nil until up
	resolver Resolver // nil without DNS
	changed  chan struct{}
	follow   sync.WaitGroup
}

func newSession(owner localsocket.Identity, prepared Prepared) *session {
	life, cancel := context.WithCancel(context.Background())
	s := &session{
		name: newName(), owner: owner, since: time.Now(),
		life: life, cancel: cancel, turn: make(chan struct{}, 1), ended: make(chan struct{}),
		prepared: prepared, state: api.StatePrepared, changed: make(chan struct{}),
	}
	s.turn <- struct{}{}
	return s
}

// take waits for the turn. The function returned gives it back, and ends the context, which ends with the session too.
func (s *session) take(ctx context.Context) (context.Context, func(), error) {
	select {
	case <-s.turn:
	case <-s.life.Done():
		return nil, nil, noSession("the session is ending")
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(s.life, cancel)
	return ctx, func() {
		unhook()
		cancel()
		s.turn <- struct{}{}
	}, nil
}

// up builds the tunnel, and name resolution on it.
func (s *session) up(ctx context.Context, spec api.Tunnel, names Names, journal *restore.Journal) (api.Status, error) {
	ctx, done, err := s.take(ctx)
	if err != nil {
		return api.Status{}, err
	}
	defer done()
	if s.currentTunnel() != nil {
		return api.Status{}, &api.Error{Code: api.CodeBadRequest, Message: "the session is up already", Hint: "Use update to change it."}
	}
	tunnel, err := s.prepared.Up(ctx, spec, journal)
	if err != nil {
		return api.Status{}, s.refusal(err, "the tunnel could not be built")
	}
	var resolver Resolver
	if spec.DNS != nil {
		resolver, err = names.Start(ctx, namesConfig(tunnel.Device(), spec))
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return api.Status{}, errorAfterRollback(s.refusal(dnsError(err), "names could not be set up"), takeDown(resolver, tunnel))
	}
	s.set(func() { s.state, s.spec, s.tunnel, s.resolver = api.StateUp, spec, tunnel, resolver })
	s.announce(tunnel.Changed())
	if resolver != nil {
		s.announce(resolver.Changed())
	}
	return s.status(), nil
}

// update changes parts of a tunnel that is up: all of the change, or none.
func (s *session) update(ctx context.Context, change api.UpdateRequest, names Names) (api.Status, error) {
	ctx, done, err := s.take(ctx)
	if err != nil {
		return api.Status{}, err
	}
	defer done()
	s.mu.Lock()
	before, tunnel, resolver := s.spec, s.tunnel, s.resolver
	s.mu.Unlock()
	if tunnel == nil {
		return api.Status{}, noSession("the session is not up")
	}
	after := change.Apply(before)
	if err := after.Validate(); err != nil {
		return api.Status{}, err
	}
	if err := tunnel.Update(ctx, change); err != nil {
		return api.Status{}, s.refusal(err, "the tunnel could not be changed")
	}
	switch {
	case after.DNS == nil:
	case resolver == nil:
		resolver, err = names.Start(ctx, namesConfig(tunnel.Device(), after))
	default:
		err = resolver.Update(ctx, namesConfig(tunnel.Device(), after))
	}
	if err != nil {
		undo := reverse(change, before)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer cancel()
		return api.Status{}, errorAfterRollback(s.refusal(dnsError(err), "names could not be changed"), tunnel.Update(ctx, undo))
	}
	s.mu.Lock()
	started := s.resolver == nil && resolver != nil
	s.spec, s.resolver = after, resolver
	s.mu.Unlock()
	if started {
		s.announce(resolver.Changed())
	}
	s.wake()
	return s.status(), nil
}

// reverse returns the change that takes back another one on a tunnel that was as before.
func reverse(change api.UpdateRequest, before api.Tunnel) api.UpdateRequest {
	undo := api.UpdateRequest{Session: change.Session}
	if change.Peer != nil {
		undo.Peer = &before.Peer
	}
	if change.Addresses != nil {
		undo.Addresses = &before.Addresses
	}
	if change.Routes != nil {
		undo.Routes = &before.Routes
	}
	if change.Exempt != nil {
		undo.Exempt = &before.Exempt
	}
	if change.InboundPorts != nil {
		undo.InboundPorts = &before.InboundPorts
	}
	if change.Carrier != nil {
		undo.Carrier = &before.Carrier
	}
	return undo
}

// end puts everything back. Who comes second waits for the first and gets the same answer.
func (s *session) end(ctx context.Context) error {
	s.cancel()
	select {
	case <-s.turn: // never given back: nothing happens after the end
	case <-s.ended:
		return s.endErr
	}
	s.mu.Lock()
	tunnel, resolver := s.tunnel, s.resolver
	s.mu.Unlock()
	err := takeDownWithin(ctx, resolver, tunnel)
	s.prepared.Close()
	s.follow.Wait()
	s.set(func() { s.state = api.StateIdle })
	s.endErr = err
	close(s.ended)
	return err
}

// takeDown undoes a build that failed half way, however the context of the build ended.
func takeDown(resolver Resolver, tunnel Tunnel) error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	return takeDownWithin(ctx, resolver, tunnel)
}

func takeDownWithin(ctx context.Context, resolver Resolver, tunnel Tunnel) error {
	var errs []error
	if resolver != nil {
		errs = append(errs, resolver.Close(ctx))
	}
	if tunnel != nil {
		errs = append(errs, tunnel.Close(ctx))
	}
	return errors.Join(errs...)
}

// refusal says why a step failed; a session that is ending is the reason for whatever fails meanwhile.
func (s *session) refusal(err error, what string) error {
	if s.life.Err() != nil {
		return noSession("the session was ended meanwhile")
	}
	return systemError(err, what)
}

func dnsError(err error) error {
	if _, ok := errors.AsType[*api.Error](err); ok {
		return err
	}
	return &api.Error{Code: api.CodeDNS, Message: "names could not be set up: " + err.Error(), Hint: "Run 'fairlead doctor'."}
}

// errorAfterRollback adds to a refusal that putting things back failed too, which must not be lost.
func errorAfterRollback(refusal, rollback error) error {
	if rollback == nil {
		return refusal
	}
	known, _ := errors.AsType[*api.Error](refusal)
	with := *known
	with.Message += "; and not everything could be put back: " + rollback.Error()
	with.Hint = "Run 'fairlead-helper restore' as root."
	return &with
}

func (s *session) currentTunnel() Tunnel {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tunnel
}

// waitUp returns the tunnel, and waits for it while an Up may still be under way.
func (s *session) waitUp(ctx context.Context) (Tunnel, error) {
	for {
		s.mu.Lock()
		tunnel, changed := s.tunnel, s.changed
		s.mu.Unlock()
		if tunnel != nil {
			return tunnel, nil
		}
		select {
		case <-changed:
		case <-s.life.Done():
			return nil, noSession("the session has ended")
		case <-ctx.Done():
			return nil, noSession("the session is not up")
		}
	}
}

// status is what a watcher sees.
func (s *session) status() api.Status {
	s.mu.Lock()
	state, tunnel, resolver := s.state, s.tunnel, s.resolver
	s.mu.Unlock()
	status := idle()
	if tunnel != nil {
		status = tunnel.Status()
	}
	if resolver != nil {
		status.DNS = resolver.Status()
	}
	since := s.since
	status.State, status.Session, status.User, status.Since = state, s.name, s.owner.Name, &since
	return status
}

// set changes the session and wakes who watches it.
func (s *session) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *session) wake() { s.set(func() {}) }

// announce wakes who watches the session whenever a part of it changes.
func (s *session) announce(part <-chan struct{}) {
	s.follow.Go(func() {
		for {
			select {
			case _, open := <-part:
				if !open {
					return
				}
				s.wake()
			case <-s.life.Done():
				return
			}
		}
	})
}

// nextChange returns a channel that is closed at the next change.
func (s *session) nextChange() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}
