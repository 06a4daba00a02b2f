// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/restore"
)

const (
	checkTimeout = time.Second      // for a test question; the way is short
	checkEvery   = 20 * time.Second // while all is well
	applyTimeout = 10 * time.Second // to tell the resolver again after a disturbance
)

// redetectAfter is how many checks in a row fail before the way in which this machine resolves names is looked at again:
// a VPN, say, may have put another resolver in place.
const redetectAfter = 4

// checkSoon is how long to wait after checks that failed, one after the other; the last repeats.
var checkSoon = []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond, time.Second, 3 * time.Second}

// Service is name resolution that is in place. Make one with Start. Status and Changed may be used at any time; Update
// and Close not at the same time as one another.
type Service struct {
	log      *slog.Logger
	detect   func(context.Context) (system, error)
	resolver *resolver
	changed  chan struct{}
	recheck  chan struct{}
	stop     context.CancelFunc
	stopped  chan struct{}

	applying sync.Mutex // held while the system is told
	mu       sync.Mutex
	system   system
	config   Config
	plan     plan
	listener *listener
	note     string // what the resolver can't do
	healthy  bool
	trouble  string           // why it is not healthy
	looping  []netip.AddrPort // upstreams that ask us in turn
	gaveUp   bool             // the system was put back because only such upstreams are left
}

// Start answers the cluster's names and makes the machine's resolver ask for them here. When it fails, or ctx ends
// before it is done, everything is as before.
func Start(ctx context.Context, config Config, journal *restore.Journal, log *slog.Logger) (*Service, error) {
	return start(ctx, config, func(ctx context.Context) (system, error) { return detect(ctx, journal, log) }, log)
}

func start(ctx context.Context, config Config, detect func(context.Context) (system, error), log *slog.Logger) (*Service, error) {
	system, err := detect(ctx)
	if err != nil {
		return nil, fmt.Errorf("find out how this machine resolves names: %w", err)
	}
	s := &Service{
		log: log, detect: detect, system: system, config: config,
		changed: make(chan struct{}, 1), recheck: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	s.resolver = &resolver{forwarder: newForwarder(), checks: newChecks(), upstreams: s.upstreams}
	if err := s.change(ctx, config); err != nil {
		return nil, errors.Join(err, s.takeDown(context.WithoutCancel(ctx)))
	}
	background, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.keep(background)
	return s, nil
}

// Update applies another configuration. When it fails the earlier one is applied again.
func (s *Service) Update(ctx context.Context, config Config) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	before := s.config
	if config.equal(before) {
		return nil
	}
	if err := s.change(ctx, config); err != nil {
		restoring, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTimeout)
		defer cancel()
		return errors.Join(err, s.change(restoring, before))
	}
	s.poke()
	return nil
}

// change makes config the one in force: listens, sets the rules, tells the system. The caller holds applying, or is
// the only one who knows s.
func (s *Service) change(ctx context.Context, config Config) error {
	s.resolver.rules.Store(newRules(config, config.Addresses[0]))
	s.resolver.forwarder.forget()
	told := s.current()
	if s.listener == nil || !slices.Equal(config.Addresses, s.config.Addresses) || s.listener.port != dnsPort && !told.anyPort() {
		if err := s.listenAgain(config.Addresses); err != nil {
			return err
		}
	}
	// Only now is it known which addresses the machine really has.
	s.resolver.rules.Store(newRules(config, s.listener.addresses[0]))
	p := newPlan(config, s.listener.addresses, s.listener.port)
	note, err := told.apply(ctx, p)
	if err != nil {
		return fmt.Errorf("tell %s: %w", told.mode(), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config, s.plan, s.note = config, p, note
	return ctx.Err()
}

// newRules derives the rules. self is an address that the server could be bound to: the gateway is asked by the same
// family, which works, and self is what checks are answered with.
func newRules(config Config, self netip.Addr) *rules {
	r := &rules{zones: newZones(config), self: self}
	for _, gateway := range config.Gateway {
		if gateway.Is4() == self.Is4() {
			r.gateway = append(r.gateway, netip.AddrPortFrom(gateway, dnsPort))
		}
	}
	return r
}

func (s *Service) listenAgain(addresses []netip.Addr) error {
	if s.listener != nil {
		if err := s.listener.close(); err != nil {
			return err
		}
		s.listener = nil
	}
	opened, err := listen(addresses, s.current().anyPort(), s.resolver)
	if err != nil {
		return err
	}
	s.listener = opened
	return nil
}

// Close puts name resolution back as it was.
func (s *Service) Close(ctx context.Context) error {
	s.stop()
	<-s.stopped
	return s.takeDown(ctx)
}

func (s *Service) takeDown(ctx context.Context) error {
	told := s.current()
	err := told.revert(ctx)
	if s.listener != nil {
		err = errors.Join(err, s.listener.close())
	}
	return errors.Join(err, told.close())
}

// current is the system that is told.
func (s *Service) current() system {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.system
}

// Status says how names are resolved and whether the last check came through.
func (s *Service) Status() api.DNSStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := api.DNSStatus{Mode: s.system.mode(), Healthy: s.healthy, Detail: s.note}
	if !s.healthy {
		status.Detail = s.trouble
	}
	return status
}

// Changed yields after Status changed. It is buffered by one; there is one reader.
func (s *Service) Changed() <-chan struct{} { return s.changed }

// keep checks the way here again and again, and tells the system again when it was disturbed.
func (s *Service) keep(ctx context.Context) {
	defer close(s.stopped)
	var loops sync.WaitGroup
	defer loops.Wait()
	loops.Go(func() { s.dropLoops(ctx) })
	failed := 0
	for {
		err := s.check(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := checkEvery
		if err == nil {
			failed = 0
		} else {
			wait = checkSoon[min(failed, len(checkSoon)-1)]
			failed++
			if failed%redetectAfter == 0 && s.redetect(ctx) {
				failed, wait = 0, checkSoon[0]
			}
		}
		// The first failures after a change are no news: resolvers take a moment.
		if err == nil || failed > 2 {
			s.report(err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.recheck:
			failed = 0
		case <-s.current().disturbed():
			failed = 0
			s.reapply(ctx)
			loops.Go(func() { s.dropLoops(ctx) })
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (s *Service) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	s.mu.Lock()
	domain, gaveUp, trouble := s.config.ClusterDomain, s.gaveUp, s.trouble
	s.mu.Unlock()
	if gaveUp {
		return errors.New(trouble)
	}
	return s.resolver.checks.wayHere(ctx, domain, s.resolver.rules.Load().self, s.current().ask)
}

// reapply tells the system again after somebody else interfered.
func (s *Service) reapply(ctx context.Context) {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.gaveUp {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	told := s.current()
	s.log.Info("name resolution was changed by another program: set up again", "mode", told.mode())
	if _, err := told.apply(ctx, s.plan); err != nil && ctx.Err() == nil {
		s.report(fmt.Errorf("set up name resolution again: %w", err))
	}
}

// redetect looks whether the machine resolves names in another way by now, and if so tells that resolver instead. It
// reports whether it did.
func (s *Service) redetect(ctx context.Context) bool {
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.gaveUp {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	before := s.current()
	now, err := s.detect(ctx)
	if err != nil {
		s.log.Debug("find out how this machine resolves names", "error", err)
		return false
	}
	if now.mode() == before.mode() {
		s.closeSystem(now)
		return false
	}
	s.log.Info("this machine resolves names in another way now", "before", before.mode(), "now", now.mode())
	if err := before.revert(ctx); err != nil {
		s.log.Warn("put the former resolver back", "mode", before.mode(), "error", err)
	}
	s.closeSystem(before)
	s.mu.Lock()
	s.system = now
	s.mu.Unlock()
	if err := s.change(ctx, s.config); err != nil && ctx.Err() == nil {
		s.report(err)
	}
	return true
}

func (s *Service) closeSystem(unused system) {
	if err := unused.close(); err != nil {
		s.log.Debug("close resolver", "mode", unused.mode(), "error", err)
	}
}

// report makes the outcome of a check the status, and says so if it is news.
func (s *Service) report(err error) {
	trouble := ""
	if err != nil {
		trouble = err.Error()
	}
	s.mu.Lock()
	news := s.healthy != (err == nil) || s.trouble != trouble
	s.healthy, s.trouble = err == nil, trouble
	s.mu.Unlock()
	if !news {
		return
	}
	if err != nil {
		s.log.Warn("names do not reach the cluster", "mode", s.current().mode(), "error", err)
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// poke makes the next check happen now.
func (s *Service) poke() {
	select {
	case s.recheck <- struct{}{}:
	default:
	}
}

// upstreams are the system's, without those that would ask us in turn.
func (s *Service) upstreams() []netip.AddrPort {
	all := s.current().upstreams()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.looping) == 0 {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(a netip.AddrPort) bool { return slices.Contains(s.looping, a) })
}

// dropLoops finds the upstreams that ask us what we ask them, and asks them no more. Only servers on this machine are
// tried: nobody else is answered here, so nobody else can close a loop.
func (s *Service) dropLoops(ctx context.Context) {
	upstreams := s.current().upstreams()
	found := make([]bool, len(upstreams))
	local := newTrust()
	var checking sync.WaitGroup
	for i, upstream := range upstreams {
		if local.allows(upstream.Addr()) {
			checking.Go(func() { found[i] = s.resolver.checks.loops(ctx, upstream) })
		}
	}
	checking.Wait()
	var looping []netip.AddrPort
	for i, upstream := range upstreams {
		if found[i] {
			s.log.Warn("a name server of this machine asks Fairlead in turn: it is left out", "server", upstream)
			looping = append(looping, upstream)
		}
	}
	s.mu.Lock()
	s.looping = looping
	s.mu.Unlock()
	if len(looping) > 0 && len(looping) == len(upstreams) {
		s.giveUp(ctx, looping[0])
	}
}

// giveUp puts the machine's resolver back: without a name server of its own left, it would resolve no names at all
// outside the cluster.
func (s *Service) giveUp(ctx context.Context, looping netip.AddrPort) {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.mu.Lock()
	s.gaveUp = true
	s.mu.Unlock()
	err := fmt.Errorf("the machine's only name server, %s, takes its settings from what Fairlead would change, "+
		"so names of the cluster don't resolve; give that name server a server of its own", looping)
	s.report(errors.Join(err, s.current().revert(ctx)))
}
