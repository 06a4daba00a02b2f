// SPDX-License-Identifier: Apache-2.0

package flows

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/tlsconn"
)

// Options is what a Server is made of.
type Options struct {
	// Certificate is what sidecars have pinned.
	Certificate tls.Certificate
	// CredentialKey is the HMAC key of credentials, at least 32 bytes.
	CredentialKey []byte
	Laptops       Laptops
	Tokens        Tokens
	Limits        Limits
	Log           *slog.Logger // nil for none
}

// Limits bound what sidecars, and strangers who pretend to be one, may hold. A zero field stands for its default.
type Limits struct {
	Strangers        int // connections that have not proved yet whose they are. Default 512
	AddressStrangers int // those of one source address. Default 64
	IdleFlows        int // connections of a pod that wait for their Open. Default 64
	PodFlows         int // flows of a pod. Default 1024
	Flows            int // flows in all. Default 8192
}

func (l Limits) withDefaults() Limits {
	set := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	set(&l.Strangers, 512)
	set(&l.AddressStrangers, 64)
	set(&l.IdleFlows, 64)
	set(&l.PodFlows, 1024)
	set(&l.Flows, 8192)
	return l
}

// timing is what a Server waits for, and how long. Tests shorten it.
type timing struct {
	greet      time.Duration // from the connection to the end of the Hello
	welcome    time.Duration // for an order of the pod, where a sidecar is there before it; sidecars give up after 2 s
	heartbeat  time.Duration
	silence    time.Duration
	answer     time.Duration // from an Open to its Answer; the sidecar itself gives up at wire.OpenTimeout
	dial       time.Duration // of those, for a connection to the laptop
	laptopAway time.Duration // a laptop that was not heard for so long is away
	rawAway    time.Duration // how long raw flows outlive the suspension of their rule
	ruleGone   time.Duration // how long flows outlive the end of their rule
	farewell   time.Duration // how long a sidecar that is not needed any more may go on reporting
}

var defaultTiming = timing{
	greet: 5 * time.Second, welcome: 1500 * time.Millisecond, heartbeat: wire.HeartbeatInterval, silence: wire.SilenceLimit,
	answer: wire.OpenTimeout - 200*time.Millisecond, dial: wire.OpenTimeout - 500*time.Millisecond,
	laptopAway: 4 * time.Second, rawAway: time.Minute, ruleGone: 15 * time.Minute, farewell: 30 * time.Second,
}

// tombstones is how many pods a Server remembers that need no sidecar any more, and tombstoneAge for how long.
const (
	tombstones   = 4096
	tombstoneAge = 10 * time.Minute
)

// Server is the gateway's side of the sidecars. It is safe for concurrent use.
type Server struct {
	options Options
	limits  Limits
	timing  timing
	tls     *tls.Config
	log     *slog.Logger
	reviews *reviews
	changes *changes

	mu        sync.Mutex
	pods      map[types.UID]*pod
	gone      map[types.UID]time.Time // pods that had a sidecar, and since when they need none
	known     chan struct{}           // closed and replaced when a pod or its addresses come to be known
	revision  uint64                  // the last one given out; grows over restarts, too
	strangers map[netip.Addr]int
	unproven  int // the sum of strangers
	flows     int // open in all

	counters counters
}

// New makes a Server, which serves nobody before Serve.
func New(o Options) (*Server, error) {
	if len(o.CredentialKey) < 32 {
		return nil, fmt.Errorf("a credential key of %d bytes is too short", len(o.CredentialKey))
	}
	if len(o.Certificate.Certificate) == 0 || o.Laptops == nil || o.Tokens == nil {
		return nil, errors.New("a certificate, laptops and tokens are needed")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{
		options: o, limits: o.Limits.withDefaults(), timing: defaultTiming, log: o.Log,
		tls: &tls.Config{
			Certificates: []tls.Certificate{o.Certificate}, MinVersion: tls.VersionTLS13,
			SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true,
		},
		reviews: newReviews(o.Tokens), changes: newChanges(),
		pods: make(map[types.UID]*pod), gone: make(map[types.UID]time.Time), known: make(chan struct{}),
		revision: uint64(time.Now().UnixMicro()), strangers: make(map[netip.Addr]int),
	}, nil
}

// Serve takes connections until ctx ends or the listener fails. It closes the listener and, at the end, every
// connection: flows are reset on both sides, and sidecars try to reach another gateway at once.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	var handlers sync.WaitGroup
	defer handlers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	handlers.Go(func() { s.changes.run(ctx) })
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			handlers.Go(func() { s.serve(ctx, conn) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept sidecars: %w", err)
		default: // such as too many open files: it passes
			s.log.Warn("accept a sidecar", "error", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

// serve handles one connection to its end.
func (s *Server) serve(ctx context.Context, raw net.Conn) {
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	defer raw.Close()
	source := sourceOf(raw)
	if !s.meet(source) {
		s.counters.refused(reasonOverloaded)
		return
	}
	conn := tlsconn.Server(raw, s.tls)
	p, hello, err := s.greet(ctx, conn, source)
	s.unmeet(source)
	if err != nil {
		s.log.Debug("sidecar refused", "from", source, "error", err)
		return
	}
	switch hello.Purpose {
	case wire.PurposeControl:
		s.serveControl(p, hello, conn)
	case wire.PurposeFlow:
		s.serveFlow(ctx, p, hello, conn)
	}
}

// greet finds out whose connection it is, and answers refusals. After it returns without an error the Welcome is still to
// be written.
func (s *Server) greet(ctx context.Context, conn *tlsconn.Conn, source netip.Addr) (*pod, wire.Hello, error) {
	var hello wire.Hello
	if err := conn.SetDeadline(time.Now().Add(s.timing.greet)); err != nil {
		return nil, hello, err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		s.counters.refused(reasonHandshake)
		s.noteRefusal(source, "the TLS handshake failed: "+err.Error())
		return nil, hello, fmt.Errorf("TLS handshake: %w", err)
	}
	if err := wire.ReadMessage(conn, &hello, wire.MaxOpen); err != nil {
		s.counters.refused(reasonHandshake)
		return nil, hello, err
	}
	p, refusal := s.authenticate(ctx, hello, source)
	if refusal == nil {
		return p, hello, nil
	}
	s.counters.refused(refusal.reason)
	if p != nil {
		s.setRefused(p, refusal.Error())
	} else {
		s.noteRefusal(source, refusal.Error())
	}
	if err := conn.SetDeadline(time.Now().Add(s.timing.greet)); err != nil {
		return nil, hello, err
	}
	_ = wire.WriteMessage(conn, wire.Welcome{Error: refusal.Error(), Final: refusal.final}, wire.MaxOpen) // it may be gone
	_ = conn.Close()
	return nil, hello, refusal
}

// welcome tells a sidecar that it is let in, and lifts the deadline.
func (s *Server) welcome(p *pod, conn *tlsconn.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(s.timing.greet)); err != nil {
		return err
	}
	if err := wire.WriteMessage(conn, wire.Welcome{PodUID: string(p.uid)}, wire.MaxOpen); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// meet counts a stranger in. It returns false if there are too many.
func (s *Server) meet(source netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unproven >= s.limits.Strangers || s.strangers[source] >= s.limits.AddressStrangers {
		return false
	}
	s.unproven++
	s.strangers[source]++
	return true
}

func (s *Server) unmeet(source netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unproven--
	if s.strangers[source]--; s.strangers[source] <= 0 {
		delete(s.strangers, source)
	}
}

// sourceOf returns from where a connection comes; invalid if that is unknown.
func sourceOf(conn net.Conn) netip.Addr {
	address, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return address.Addr().Unmap().WithZone("")
}
