// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/backend/traffic"
)

const (
	// localAnnotation of an Intercept says where each port's traffic goes on the laptop: JSON, {"8080/TCP":"127.0.0.1:3000"}.
	localAnnotation = "fairlead.dev/local"
	// attachedAnnotation of an Intercept says that it must not outlive the daemon that made it.
	attachedAnnotation = "fairlead.dev/attached"
	// urlAnnotation of an Intercept is where requests to the workload go, as the laptop reaches it.
	urlAnnotation = "fairlead.dev/url"
	// connectionLabel of an Intercept is the name of its Connection.
	connectionLabel = "fairlead.dev/connection"
)

// lookEvery is how often local programs are looked for.
const lookEvery = time.Second

// Manager holds the intercepts of this laptop. It is the session's Hooks. Its methods are safe for concurrent use.
type Manager struct {
	log     *slog.Logger
	places  *places
	records *traffic.Log

	mu       sync.Mutex
	tunnel   *session.Tunnel // the latest of the session; nil without a session
	up       bool            // it can be used
	ctx      context.Context // ends with the tunnel
	cancel   context.CancelFunc
	listener *listener
	port     uint16 // that the listener had last
	held     map[string]*held
	creating map[string]bool // objects, as namespace/name, that may exist without their UID being known here
	left     map[string]bool // UIDs that must not be taken up again
	changed  chan struct{}   // closed and replaced on each change
	ended    map[string]string
	past     map[string]past // shown for a while, because their owner did not end them
	work     sync.WaitGroup
	entering sync.Mutex // one at a time opens and closes the listener
}

// past is an intercept that has ended without its owner's doing.
type past struct {
	intercept session.Intercept
	at        time.Time
}

// pastFor is how long such an intercept is shown.
const pastFor = 10 * time.Minute

// held is an intercept of this laptop.
type held struct {
	object  *v1alpha1.Intercept
	targets map[string]*target // by portKey
	leaving bool
	closed  bool // flows are refused
	trouble string
	follow  context.CancelFunc
}

// NewManager returns a Manager without a session. log may be nil.
func NewManager(log *slog.Logger) *Manager {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Manager{
		log: log, places: &places{}, records: traffic.NewLog(), held: map[string]*held{}, creating: map[string]bool{}, left: map[string]bool{}, ended: map[string]string{}, past: map[string]past{}, changed: make(chan struct{}),
	}
}

func portKey(port int32, protocol string) string { return fmt.Sprintf("%d/%s", port, protocol) }

// change does something to the state, tells those who wait, and shows what is true now.
func (m *Manager) change(do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if do != nil {
		do()
	}
	close(m.changed)
	m.changed = make(chan struct{})
	if m.tunnel != nil {
		m.tunnel.Show(m.describeAll())
	}
}

// describeAll describes what is held, by namespace and name. m.mu is held.
func (m *Manager) describeAll() []session.Intercept {
	var all []session.Intercept
	for _, h := range m.held {
		all = append(all, m.describe(h.object))
	}
	for id, p := range m.past {
		if time.Since(p.at) > pastFor {
			delete(m.past, id)
			continue
		}
		all = append(all, p.intercept)
	}
	sortIntercepts(all)
	return all
}

func sortIntercepts(all []session.Intercept) {
	slices.SortFunc(all, func(a, b session.Intercept) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
}

// TunnelUp implements session.Hooks.
func (m *Manager) TunnelUp(t session.Tunnel) {
	m.TunnelDown()
	ctx, cancel := context.WithCancel(context.Background())
	m.change(func() {
		m.tunnel, m.up, m.ctx, m.cancel = &t, true, ctx, cancel
	})
	m.work.Go(func() { m.enter(ctx, t) })
}

// TunnelDown implements session.Hooks.
func (m *Manager) TunnelDown() {
	m.mu.Lock()
	cancel, open := m.cancel, m.listener
	m.cancel, m.listener, m.up = nil, nil, false
	m.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if open != nil {
		open.close()
	}
}

// Ended implements session.Hooks.
func (m *Manager) Ended() {
	m.TunnelDown()
	m.work.Wait()
	m.change(func() {
		for id := range m.held {
			m.ended[id] = "the connection has ended"
		}
		m.held, m.past = map[string]*held{}, map[string]past{}
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tunnel = nil
}

// enter makes a new tunnel serve the intercepts that there are, and takes up those of an earlier daemon.
func (m *Manager) enter(ctx context.Context, t session.Tunnel) {
	m.mu.Lock()
	known := len(m.held) > 0
	m.mu.Unlock()
	if known {
		m.serve(ctx, t)
	}
	m.resume(ctx, t)
	m.mu.Lock()
	for id := range m.held {
		m.followHeld(ctx, t, id)
	}
	m.mu.Unlock()
	m.watchPrograms(ctx)
}

// serve opens the listener, if it is not, and lets the gateway reach it. What it can't do is tried again with the next
// tunnel or intercept.
func (m *Manager) serve(ctx context.Context, t session.Tunnel) (uint16, error) {
	m.entering.Lock()
	defer m.entering.Unlock()
	m.mu.Lock()
	open, wanted := m.listener, m.port
	m.mu.Unlock()
	if open == nil {
		var err error
		if open, err = listen(t.Addresses, t.Gateway, wanted, m.find, m.records, m.log); err != nil {
			m.log.Warn("intercepts have no listener", "error", err)
			return 0, err
		}
		late := false
		m.change(func() {
			if late = ctx.Err() != nil; !late {
				m.listener, m.port = open, open.port
			}
		})
		if late {
			open.close()
			return 0, ctx.Err()
		}
	}
	if err := t.OpenPorts(ctx, []uint16{open.port}); err != nil {
		return 0, err
	}
	return open.port, nil
}

// find returns where a flow goes; nil refuses it.
func (m *Manager) find(ctx context.Context, open wire.Open) *target {
	for {
		m.mu.Lock()
		h, changed, creating := m.held[open.Intercept], m.changed, len(m.creating) > 0
		var found *target
		if h != nil && !h.closed {
			found = h.targets[portKey(int32(open.Port), open.Protocol)]
		}
		m.mu.Unlock()
		if h != nil || !creating {
			return found
		}
		select { // the gateway can know of an object before its maker does
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// watchPrograms looks for the local programs again and again, until ctx is done.
func (m *Manager) watchPrograms(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		m.mu.Lock()
		var targets []*target
		for _, h := range m.held {
			for _, t := range h.targets {
				targets = append(targets, t)
			}
		}
		m.mu.Unlock()
		different := false
		for _, t := range targets {
			before := t.sawLast()
			different = t.isListening(ctx) != before || different
		}
		if different {
			m.change(nil)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// now returns the tunnel that can be used, and what ends with it.
func (m *Manager) now() (session.Tunnel, context.Context, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tunnel == nil || !m.up {
		return session.Tunnel{}, nil, false
	}
	return *m.tunnel, m.ctx, true
}

// Get returns an intercept of this laptop by its ID, and a channel that is closed when something changes. Without it
// the text says how it ended.
func (m *Manager) Get(id string) (found session.Intercept, ok bool, ended string, changed <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.held[id]; h != nil {
		return m.describe(h.object), true, "", m.changed
	}
	return session.Intercept{}, false, m.ended[id], m.changed
}
