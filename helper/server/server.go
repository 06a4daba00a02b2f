// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/localsocket"
	"github.com/fairlead-dev/fairlead/helper/restore"
)

const (
	// maxConnections bounds all callers together, maxPerUser one user, and maxDenied a user who is not allowed: what
	// is left is enough for the others to be served or told why not.
	maxConnections = 256
	maxPerUser     = 32
	maxDenied      = 4

	// endTimeout bounds putting everything back. It is generous: nothing should take a tenth of it.
	endTimeout = 30 * time.Second
)

// Options are what a Server is made of. All are required.
type Options struct {
	Version string
	Machine Machine
	Names   Names
	Journal *restore.Journal
	// Allowed decides whether a caller may use the helper. It is asked once for each connection, from any goroutine.
	Allowed func(localsocket.Identity) bool
	Log     *slog.Logger
}

// Server serves the helper's verbs. Make one with New.
type Server struct {
	options Options

	// preparing holds one token: who has it may replace the current session.
	preparing chan struct{}

	mu          sync.Mutex
	current     *session // nil without a session
	replaced    string   // name of the last session that another one of the same user took the place of
	connections map[*connection]struct{}
	stopped     bool
	working     sync.WaitGroup // one for each connection
}

// New makes a Server.
func New(options Options) *Server {
	s := &Server{options: options, connections: map[*connection]struct{}{}, preparing: make(chan struct{}, 1)}
	s.preparing <- struct{}{}
	return s
}

// Serve answers callers until ctx ends. Then it ends the session, puts everything back and returns. It closes the
// listener. The error says what could not be put back or why listening ended.
func (s *Server) Serve(ctx context.Context, listener *localsocket.Listener) error {
	accepting := make(chan error, 1)
	go func() { accepting <- s.accept(listener) }()
	var err error
	select {
	case err = <-accepting:
		err = errors.Join(err, listener.Close())
	case <-ctx.Done():
		err = listener.Close()
		<-accepting
	}
	return errors.Join(err, s.stop())
}

func (s *Server) accept(listener *localsocket.Listener) error {
	for {
		conn, err := listener.Accept()
		switch {
		case errors.Is(err, localsocket.ErrIdentity):
			s.options.Log.Warn("refused a caller", "error", err)
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("accept callers: %w", err)
		default:
			s.begin(conn)
		}
	}
}

// begin admits a connection and serves it in a goroutine of its own.
func (s *Server) begin(conn *localsocket.Conn) {
	c := &connection{server: s, conn: conn.Conn, caller: conn.Identity, allowed: s.options.Allowed(conn.Identity)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || !s.hasRoom(c) {
		// Nothing is read from this caller and nothing waited for: the connection just ends.
		if err := conn.Close(); err != nil {
			s.options.Log.Debug("close a connection too many", "error", err)
		}
		return
	}
	s.connections[c] = struct{}{}
	s.working.Go(func() {
		c.serve()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.connections, c)
	})
}

// hasRoom reports whether one more connection fits the bounds. The caller holds mu.
func (s *Server) hasRoom(c *connection) bool {
	most := maxPerUser
	if !c.allowed {
		most = maxDenied
	}
	same := 0
	for other := range s.connections {
		if other.caller.User == c.caller.User {
			same++
		}
	}
	return same < most && len(s.connections) < maxConnections
}

// stop ends the session and all connections.
func (s *Server) stop() error {
	s.mu.Lock()
	s.stopped = true
	current := s.current
	s.mu.Unlock()
	var err error
	if current != nil {
		err = s.end(current)
	}
	s.mu.Lock()
	for c := range s.connections {
		// An error means that it is closed already.
		_ = c.conn.Close()
	}
	s.mu.Unlock()
	s.working.Wait()
	return err
}

// prepare opens a session for the caller, in place of one that the same user has.
func (s *Server) prepare(ctx context.Context, caller localsocket.Identity) (*session, api.PrepareReply, error) {
	select {
	case <-s.preparing:
	case <-ctx.Done():
		return nil, api.PrepareReply{}, ctx.Err()
	}
	defer func() { s.preparing <- struct{}{} }()

	if current := s.session(); current != nil {
		if current.owner.User != caller.User {
			return nil, api.PrepareReply{}, busy(current)
		}
		s.mu.Lock()
		s.replaced = current.name
		s.mu.Unlock()
		if err := s.end(current); err != nil {
			return nil, api.PrepareReply{}, systemError(err, "the earlier session could not be ended")
		}
	}
	// Nothing is left here unless putting back an earlier session failed.
	if err := s.options.Journal.UndoAll(ctx); err != nil {
		return nil, api.PrepareReply{}, systemError(err, "what an earlier session changed could not be put back")
	}
	routes, err := s.options.Machine.LocalRoutes(ctx)
	if err != nil {
		return nil, api.PrepareReply{}, systemError(err, "the routes of this machine could not be read")
	}
	prepared, err := s.options.Machine.Prepare(ctx)
	if err != nil {
		return nil, api.PrepareReply{}, systemError(err, "no key could be made")
	}
	created := newSession(caller, prepared)

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		prepared.Close()
		return nil, api.PrepareReply{}, noSession("the helper is stopping")
	}
	s.current = created
	return created, api.PrepareReply{
		Session:     created.name,
		PublicKey:   prepared.PublicKey(),
		LocalRoutes: routes[:min(len(routes), maxLocalRoutes)],
	}, nil
}

// maxLocalRoutes bounds the routes in a reply so that it fits a frame: 2000 of about 100 bytes.
const maxLocalRoutes = 2000

// session returns the current session, or nil.
func (s *Server) session() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// find returns the session called name if it is current and the caller's.
func (s *Server) find(name string, caller localsocket.Identity) (*session, error) {
	current := s.session()
	if current == nil || current.name != name || current.owner.User != caller.User {
		return nil, s.over(name)
	}
	return current, nil
}

// over says why a session is not the current one.
func (s *Server) over(name string) *api.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == s.replaced {
		return &api.Error{Code: api.CodeReplaced, Message: "another Fairlead of yours on this machine has taken over the tunnel",
			Hint: "There is one tunnel on a machine. Disconnect the other one before you connect here again."}
	}
	return noSession("the session is not the current one any more")
}

// end puts back everything that a session changed, and returns when that is done, whoever does it.
func (s *Server) end(ended *session) error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	err := ended.end(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == ended {
		s.current = nil
		s.options.Log.Info("session ended", "user", ended.owner.Name)
	}
	return err
}

// status tells a caller how things stand. The session's name is for its owner alone.
func (s *Server) status(caller localsocket.Identity) api.Status {
	current := s.session()
	if current == nil {
		return idle()
	}
	status := current.status()
	if current.owner.User != caller.User {
		return api.Status{State: status.State, User: status.User, Since: status.Since,
			UDP: api.CarrierHealth{LastAnswerAgo: -1}, Relay: api.CarrierHealth{LastAnswerAgo: -1}}
	}
	return status
}

func idle() api.Status {
	return api.Status{State: api.StateIdle,
		UDP: api.CarrierHealth{LastAnswerAgo: -1}, Relay: api.CarrierHealth{LastAnswerAgo: -1}}
}

// newName returns a session name that nobody guesses.
func newName() string {
	var random [api.SessionLength / 2]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(random[:])
}

func busy(current *session) *api.Error {
	return &api.Error{Code: api.CodeBusy,
		Message: fmt.Sprintf("%s is connected on this machine since %s", current.owner.Name, current.since.Local().Format("15:04")),
		Hint:    "One user of a machine can be connected at a time: ask them to disconnect."}
}

func noSession(message string) *api.Error {
	return &api.Error{Code: api.CodeNoSession, Message: message, Hint: "Connect again."}
}

// systemError passes an *api.Error on and makes any other error one.
func systemError(err error, what string) error {
	if known, ok := errors.AsType[*api.Error](err); ok {
		return known
	}
	return &api.Error{Code: api.CodeSystem, Message: what + ": " + err.Error(),
		Hint: "Run 'fairlead doctor'; the helper's log has the details."}
}
