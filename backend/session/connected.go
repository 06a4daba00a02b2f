// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/carrier"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/helper/api"
)

const (
	// freshFor is how old the last answer on the carrier in use may be for the session to count as connected.
	freshFor = 3 * time.Second
	// lookEvery is how often silence is looked for. The helper reports twice a second; this is for one that does not.
	lookEvery = 250 * time.Millisecond
	// deadRelayAfter and deadStandbyAfter are the silence after which an open relay is opened anew, in use and not.
	deadRelayAfter   = 2500 * time.Millisecond
	deadStandbyAfter = 6 * time.Second
	// renewEvery is the least time between two such attempts.
	renewEvery = 2500 * time.Millisecond
	// rewatchEvery is how often the Connection is read anew while nothing answers: the gateway may have moved.
	rewatchEvery = 5 * time.Second
	// troubleAfter is how long nothing must have been fresh before that is called a problem.
	troubleAfter = 2 * time.Second
)

// errReplaced says that another session of the same user on this machine has taken the Connection over.
var errReplaced = problem.New(problem.NotConnected, "Only one connection of a user from one machine can be to a cluster. Disconnect the other one first.",
	"another session of yours has taken over the connection to this cluster")

// isTakenOver reports whether the helper gave the tunnel to another program of the same user. To take it back would make the two
// take it from each other without end.
func isTakenOver(err error) bool {
	refusal, ok := errors.AsType[*api.Error](err)
	return ok && refusal.Code == api.CodeReplaced
}

// hold keeps the tunnel as the cluster and the carriers want it, and says what is true, until the helper is lost, the
// run ends, or, before the first answer, patience does.
func (l *link) hold() error {
	l.run.step("waiting for the first answer from the gateway")
	patience := time.NewTimer(l.run.patience.answer)
	defer patience.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	rewatched := time.Now()
	l.heard, l.freshAt = time.Now(), time.Now()
	for {
		select {
		case <-l.ctx.Done():
			return l.ctx.Err()
		case err := <-l.lost:
			return err
		case status := <-l.statuses:
			l.hear(status)
		case l.connection = <-l.changes:
			l.changed = true
		case <-l.gone:
			l.announceAgain()
		case a := <-l.announced:
			l.took(a)
		case l.clusterProblem = <-l.failed:
		case <-l.relayChanged:
		case <-l.run.turned:
		case <-look.C:
		case <-patience.C:
			if l.answeredAt.IsZero() || !isClosed(l.run.connected) {
				return noCarrier(l.status, l.run.request.carrier, l.keeper.Status())
			}
		}
		l.turn()
		if err := l.follows(); err != nil {
			return err
		}
		if err := l.steer(); err != nil {
			return err
		}
		fresh := l.fresh()
		if !fresh && time.Since(rewatched) > rewatchEvery {
			rewatched = time.Now()
			l.rewatch()
		}
		l.show(fresh)
	}
}

// follows brings the tunnel in line with what the gateway says now.
func (l *link) follows() error {
	if !l.changed {
		return nil
	}
	l.changed = false
	if l.connection.Generation > l.generation && l.connection.Spec.PublicKey != l.spec.PublicKey {
		return errReplaced
	}
	refused, done := l.answered()
	if !done {
		return nil
	}
	l.clusterProblem = refused
	if refused != nil {
		return nil
	}
	wanted, mappings, err := l.plan()
	if err != nil {
		l.clusterProblem = err
		return nil
	}
	if !sameMappings(l.spec.Mappings, mappings) {
		l.spec.Mappings = mappings
		l.announceAgain()
		return nil
	}
	wanted.Carrier = l.tunnel.Carrier
	update, changed := difference(l.tunnel, wanted)
	if !changed {
		return nil
	}
	l.run.log.Info("gateway changed what it offers; updating the tunnel")
	if err := l.update(update); err != nil {
		return err
	}
	if l.helperProblem != nil { // what was refused is not what is
		return nil
	}
	moved := !slices.Equal(l.tunnel.Addresses, wanted.Addresses) || !slices.Equal(l.tunnel.Peer.Addresses, wanted.Peer.Addresses)
	l.tunnel = wanted
	if moved {
		l.offer()
	}
	return nil
}

// steer sends by the carrier that the policy chooses, and opens a relay that is dead anew.
func (l *link) steer() error {
	l.decision = l.policy.Decide(time.Now(), l.udp(), l.relay())
	l.reviveRelay()
	if l.decision.Carrier == carrier.None || string(l.decision.Carrier) == string(l.status.Carrier) {
		return nil
	}
	l.run.log.Info("switching carrier", "to", l.decision.Carrier, "reason", l.decision.Reason)
	name := api.CarrierName(l.decision.Carrier)
	if err := l.update(api.UpdateRequest{Carrier: &name}); err != nil {
		return err
	}
	l.tunnel.Carrier = name
	return nil
}

// update changes the tunnel. A refusal is shown and tried again with the next change; a helper that is gone ends the
// attempt.
func (l *link) update(u api.UpdateRequest) error {
	ctx, cancel := context.WithTimeout(l.ctx, helperTimeout)
	defer cancel()
	u.Session = l.prepared.Session
	status, err := l.helper.Update(ctx, u)
	if err == nil {
		l.hear(status)
		l.helperProblem = nil
		return nil
	}
	if refusal, ok := errors.AsType[*api.Error](err); ok && refusal.Code != api.CodeNoSession && refusal.Code != api.CodeReplaced {
		l.helperProblem = explainRefusal(refusal)
		return nil
	}
	return fmt.Errorf("%w: %w", errHelperLost, err)
}

// reviveRelay opens the relay anew when it is open and nothing comes back through it.
func (l *link) reviveRelay() {
	relay := l.keeper.Status()
	limit := deadStandbyAfter
	if l.decision.Carrier == carrier.Relay {
		limit = deadRelayAfter
	}
	silence := l.relay().Silence
	if silence < 0 {
		silence = time.Since(relay.Since)
	}
	if !relay.Open || min(silence, time.Since(relay.Since)) < limit || time.Since(l.renewed) < renewEvery {
		return
	}
	l.renewed = time.Now()
	l.run.log.Info("relay is open but does not answer; opening another", "silence", silence)
	l.keeper.Renew()
}

// hear takes in what the helper reports.
func (l *link) hear(status api.Status) {
	now := time.Now()
	if status.Received > l.status.Received {
		l.receivedAt = now
	}
	l.status, l.heard = status, now
}

// udp and relay are the health of the carriers, with the time that has passed since the helper reported it.
func (l *link) udp() carrier.Health { return aged(l.status.UDP, l.heard) }

// relay counts what arrives inside the tunnel as an answer while the relay is in use: in a stream that is full, probes
// wait behind data, or are dropped for it.
func (l *link) relay() carrier.Health {
	h := aged(l.status.Relay, l.heard)
	if received := time.Since(l.receivedAt); l.status.Carrier == api.CarrierRelay && h.Silence > received {
		h.Silence = received
	}
	return h
}

// active is the health of the carrier in use, and what the helper says of it.
func (l *link) active() (carrier.Health, api.CarrierHealth) {
	switch l.status.Carrier {
	case api.CarrierUDP:
		return l.udp(), l.status.UDP
	case api.CarrierRelay:
		return l.relay(), l.status.Relay
	}
	return carrier.Health{Silence: -1}, api.CarrierHealth{}
}

func aged(h api.CarrierHealth, reported time.Time) carrier.Health {
	read := health(h)
	if read.Silence >= 0 {
		read.Silence += time.Since(reported)
	}
	return read
}

// fresh reports whether the gateway has answered lately on the carrier in use.
func (l *link) fresh() bool {
	active, _ := l.active()
	return l.status.State == api.StateUp && active.Silence >= 0 && active.Silence < freshFor
}

// announceAgain makes the Connection anew in the background: it was deleted, or has to say something else.
func (l *link) announceAgain() {
	if l.announcing {
		return
	}
	l.announcing = true
	spec := l.spec
	l.background.Go(func() {
		ctx, cancel := context.WithTimeout(l.ctx, l.run.patience.gateway)
		defer cancel()
		connection, err := l.access.ApplyConnection(ctx, l.namespace, l.name, spec)
		l.announced <- announcement{connection, err}
	})
}

// took takes in the result of announceAgain.
func (l *link) took(a announcement) {
	l.announcing = false
	if a.err != nil {
		l.clusterProblem = a.err
		l.run.log.Info("connection not announced again", "error", a.err)
		time.AfterFunc(longestRewatch, func() { wake(l.gone) })
		return
	}
	l.accept(a.connection)
	l.changed = true
	l.rewatch()
}

// show publishes what is true now, and notices the first moment of being connected.
func (l *link) show(fresh bool) {
	if fresh && !l.wasFresh {
		l.access.Revive() // the network is back
	}
	if l.wasFresh = fresh; fresh {
		l.freshAt = time.Now()
	}
	if fresh && l.answeredAt.IsZero() {
		l.answeredAt = time.Now()
		l.run.step("waiting for names to resolve")
	}
	named := l.status.DNS.Healthy || l.tunnel.DNS == nil || time.Since(l.answeredAt) > l.run.patience.names
	if !isClosed(l.run.connected) && (!fresh || !named) {
		l.run.board.update(func(s *Status) {
			step, state := s.Step, s.State
			*s = l.describe(fresh)
			s.Step, s.State = step, state
		})
		return
	}
	if fresh {
		l.run.connectedOnce.Do(func() {
			l.run.since = time.Now()
			l.run.log.Info("connected", "carrier", l.status.Carrier)
		})
	}
	status := l.describe(fresh)
	status.Since = &l.run.since
	switch {
	case fresh:
		status.State = Connected
	default:
		status.State, status.Step = Reconnecting, "the gateway does not answer; trying every way to it"
		if status.Problem == nil && time.Since(l.freshAt) > troubleAfter {
			status.Problem = noCarrier(l.status, l.run.request.carrier, l.keeper.Status())
		}
	}
	l.run.board.show(status)
	if fresh && !isClosed(l.run.connected) {
		close(l.run.connected)
	}
}

// describe is everything about the session but its state. Nothing is said to work that needs answers while there are
// none.
func (l *link) describe(fresh bool) Status {
	s := l.run.base(Connecting, "")
	s.User = l.user
	s.Connection = l.namespace + "/" + l.name
	s.Addresses, s.Routes, s.Mappings = l.tunnel.Addresses, l.tunnel.Routes, l.mappings
	s.Device, s.MTU = l.status.Device, l.status.MTU
	if l.tunnel.DNS != nil {
		s.Namespace = l.tunnel.DNS.Namespace // where names resolve now, be it not where they are to
	}
	s.Received, s.Sent = l.status.Received, l.status.Sent
	s.Gateway.Pod, s.Gateway.Version = l.answer.Relay.Pod, l.answer.Version
	s.DNS = DNSStatus{Mode: l.status.DNS.Mode, Healthy: l.status.DNS.Healthy, Detail: l.status.DNS.Detail, ClusterDomain: l.answer.Domain}
	if l.tunnel.DNS != nil {
		s.DNS.Domains = l.tunnel.DNS.Domains
	}
	if !fresh { // whatever the helper saw last: the cluster's DNS is behind the tunnel
		s.DNS.Healthy, s.DNS.Detail = false, "nothing gets through to the cluster"
	}
	s.Carrier = l.describeCarrier()
	s.Notes = l.notes()
	switch {
	case l.helperProblem != nil:
		s.Problem = problem.From(l.helperProblem)
	case l.clusterProblem != nil:
		s.Problem = problem.From(l.clusterProblem)
	case fresh && !s.DNS.Healthy && !l.answeredAt.IsZero() && time.Since(l.answeredAt) > l.run.patience.names:
		s.Problem = problem.New(problem.DNS, "Addresses work meanwhile. See: fairlead doctor.", "names of the cluster do not resolve: %s", s.DNS.Detail)
	}
	return s
}

func (l *link) describeCarrier() CarrierStatus {
	in := CarrierStatus{Mode: l.run.request.carrier, Reason: l.decision.Reason}
	active, reported := l.active()
	if active.Silence < 0 {
		return in
	}
	at := time.Now().Add(-active.Silence).Truncate(100 * time.Millisecond)
	in.LastAnswer = &at
	if active.Silence >= freshFor {
		return in
	}
	in.Active, in.RTT = string(l.status.Carrier), reported.RTT
	switch carrier.Name(in.Active) {
	case carrier.UDP:
		in.Endpoint = reported.Endpoint
	case carrier.Relay:
		in.Endpoint = "pod " + l.keeper.Status().Target.Namespace + "/" + l.keeper.Status().Target.Pod
	}
	return in
}

// notes are things to know that are not wrong.
func (l *link) notes() []string {
	notes := slices.Clone(l.status.Notes)
	if t := l.apiTrouble.Load(); t != nil && !isFatal(t.err) && time.Since(t.since) > l.run.patience.note {
		consequence := "UDP does not need it, but changes in the cluster go unnoticed"
		if l.status.Carrier == api.CarrierRelay {
			consequence = "the relay needs it"
		}
		notes = append(notes, fmt.Sprintf("the API server has not answered since %s; %s", t.since.Format(time.TimeOnly), consequence))
	}
	if l.connection.Status.Phase == v1alpha1.ConnectionPending && l.connection.Status.Message != "" {
		notes = append(notes, "the gateway says: "+l.connection.Status.Message)
	}
	return notes
}
