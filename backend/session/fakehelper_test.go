// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/client"
)

// fakeHelper is a helper that changes nothing and whose probes answer as a test wants.
type fakeHelper struct {
	mu      sync.Mutex
	absent  bool                 // nobody listens
	refuse  map[api.Verb]error   // what verbs answer
	routes  []api.LocalRoute     // of the machine
	probes  func(*api.Status)    // what probes say; nil is that both ways answer
	names   bool                 // names resolve
	started int                  // sessions prepared, each with a key of its own
	up      *api.Tunnel          // what is up now
	ups     []api.Tunnel         // everything that was brought up
	updates []api.UpdateRequest  // in order
	downs   int                  // sessions taken down, by Down or by the end of their connection
	relays  int                  // streams handed over
	conns   map[*fakeConn]string // open control connections and their sessions
}

func newFakeHelper() *fakeHelper {
	return &fakeHelper{names: true, conns: map[*fakeConn]string{}, refuse: map[api.Verb]error{}}
}

func (h *fakeHelper) Dial(context.Context) (Helper, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.absent {
		return nil, fmt.Errorf("%w: no such socket", client.ErrUnavailable)
	}
	c := &fakeConn{helper: h, closed: make(chan struct{})}
	h.conns[c] = ""
	return c, nil
}

// die ends every control connection, and what is up with it, as a helper that is killed does.
func (h *fakeHelper) die() {
	h.mu.Lock()
	conns := h.conns
	h.conns = map[*fakeConn]string{}
	h.up = nil
	h.mu.Unlock()
	for c := range conns {
		c.once.Do(func() { close(c.closed) })
	}
}

// set changes the helper while it runs.
func (h *fakeHelper) set(change func(*fakeHelper)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(h)
}

// silent makes a way's probes unanswered for five seconds.
func silent(h *api.CarrierHealth) { h.LastAnswerAgo, h.Unanswered = 5000, 10 }

// status is what the helper reports. h.mu is held.
func (h *fakeHelper) status(session string) api.Status {
	s := api.Status{State: api.StatePrepared, Session: session, UDP: api.CarrierHealth{LastAnswerAgo: -1}, Relay: api.CarrierHealth{LastAnswerAgo: -1}}
	if h.up == nil {
		return s
	}
	s.State, s.Device, s.MTU, s.Carrier = api.StateUp, "fairlead0", 1424, h.up.Carrier
	s.DNS = api.DNSStatus{Mode: "file", Healthy: h.names, Detail: "a test name"}
	if len(h.up.Peer.UDP) > 0 {
		s.UDP = api.CarrierHealth{Configured: true, Endpoint: h.up.Peer.UDP[0].String(), LastAnswerAgo: 10, RTT: 1}
	}
	if h.relays > 0 {
		s.Relay = api.CarrierHealth{Configured: true, LastAnswerAgo: 10, RTT: 2}
	}
	if h.probes != nil {
		h.probes(&s)
	}
	return s
}

// fakeConn is one control connection.
type fakeConn struct {
	helper *fakeHelper
	once   sync.Once
	closed chan struct{}
}

// call runs f with the helper locked, unless the connection is closed or the verb is refused.
func (c *fakeConn) call(verb api.Verb, f func(*fakeHelper) error) error {
	select {
	case <-c.closed:
		return fmt.Errorf("%w: connection closed", client.ErrUnavailable)
	default:
	}
	c.helper.mu.Lock()
	defer c.helper.mu.Unlock()
	if err := c.helper.refuse[verb]; err != nil {
		return err
	}
	return f(c.helper)
}

func (c *fakeConn) Version(context.Context) (v api.VersionReply, err error) {
	return api.VersionReply{Version: "0.1.0", Protocol: api.Protocol}, c.call(api.VerbVersion, func(*fakeHelper) error { return nil })
}

func (c *fakeConn) Prepare(context.Context, api.PrepareRequest) (r api.PrepareReply, err error) {
	err = c.call(api.VerbPrepare, func(h *fakeHelper) error {
		h.started++
		r = api.PrepareReply{Session: fmt.Sprint("session-", h.started), PublicKey: fmt.Sprint("key-", h.started), LocalRoutes: slices.Clone(h.routes)}
		h.conns[c] = r.Session
		return nil
	})
	return r, err
}

func (c *fakeConn) Up(_ context.Context, r api.UpRequest) (s api.Status, err error) {
	err = c.call(api.VerbUp, func(h *fakeHelper) error {
		tunnel := r.Tunnel
		h.up = &tunnel
		h.ups = append(h.ups, tunnel)
		s = h.status(r.Session)
		return nil
	})
	return s, err
}

func (c *fakeConn) Update(_ context.Context, r api.UpdateRequest) (s api.Status, err error) {
	err = c.call(api.VerbUpdate, func(h *fakeHelper) error {
		h.updates = append(h.updates, r)
		if r.Carrier != nil {
			h.up.Carrier = *r.Carrier
		}
		if r.Peer != nil {
			h.up.Peer = *r.Peer
		}
		if r.Routes != nil {
			h.up.Routes = *r.Routes
		}
		if r.DNS != nil {
			h.up.DNS = r.DNS
		}
		s = h.status(r.Session)
		return nil
	})
	return s, err
}

func (c *fakeConn) Down(context.Context, string) error {
	return c.call(api.VerbDown, func(h *fakeHelper) error {
		if h.conns[c] != "" {
			h.downs++
		}
		h.conns[c], h.up = "", nil
		return nil
	})
}

func (c *fakeConn) Status(context.Context) (s api.Status, err error) {
	return s, c.call(api.VerbStatus, func(h *fakeHelper) error { s = h.status(""); return nil })
}

func (c *fakeConn) Watch(ctx context.Context, session string, yield func(api.Status) bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var s api.Status
		if err := c.call(api.VerbWatch, func(h *fakeHelper) error { s = h.status(session); return nil }); err != nil {
			return err
		}
		if !yield(s) {
			return nil
		}
		select {
		case <-tick.C:
		case <-c.closed:
			return errors.New("the helper went away")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *fakeConn) Carrier(context.Context, string) (net.Conn, error) {
	ours, helpers := net.Pipe()
	err := c.call(api.VerbCarrier, func(h *fakeHelper) error {
		h.relays++
		return nil
	})
	go func() { // it swallows what comes
		buf := make([]byte, 1<<16)
		for {
			if _, err := helpers.Read(buf); err != nil {
				return
			}
		}
	}()
	return ours, err
}

func (c *fakeConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.helper.mu.Lock()
	defer c.helper.mu.Unlock()
	if c.helper.conns[c] != "" {
		c.helper.downs++
		c.helper.up = nil
	}
	delete(c.helper.conns, c)
	return nil
}
