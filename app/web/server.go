// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

const (
	// headerTimeout bounds how long a browser may take to send the header of a request.
	headerTimeout = 10 * time.Second
	// endTimeout bounds how long answers may take to leave at the end. Browsers hold connections that they have not used
	// yet, and http.Server would wait seconds for those.
	endTimeout = 250 * time.Millisecond
)

// Config is what a Server works with.
type Config struct {
	Backend localapi.Backend
	Page    fs.FS // with index.html, unless the program was built without the page
	Log     *slog.Logger
	// Context ends the calls of browsers when it is done.
	Context context.Context
	// State is the file that lets open pages come back to the daemon after this one; "" keeps nothing. Its folder must be
	// the user's own.
	State string
	// Count, if set, gets the handler and returns one that counts calls.
	Count func(http.Handler) http.Handler
}

// Server serves the page from the first Open on. It is safe for concurrent use.
type Server struct {
	config  Config
	doors   *doors
	returns *returns

	mu     sync.Mutex
	server *http.Server // nil until the first Open
	host   string       // address and port
	closed bool
}

// New returns a server that does not listen yet.
func New(c Config) *Server {
	return &Server{config: c, doors: newDoors(time.Now), returns: &returns{file: c.State, now: time.Now}}
}

// Resume serves the page where an earlier daemon did, if pages may come back from there. If something else has that port
// by now, they can't.
func (s *Server) Resume() error {
	host, err := s.returns.load()
	if err != nil || host == "" {
		return err
	}
	_, err = s.listen(host)
	return err
}

// Open returns an address under which a browser opens the page once. What r says of the caller's shell goes with what
// that browser asks for.
func (s *Server) Open(r localapi.PageRequest) (localapi.Page, error) {
	host, err := s.listen("127.0.0.1:0")
	if err != nil {
		return localapi.Page{}, err
	}
	return localapi.Page{URL: "http://" + host + "/open?token=" + s.doors.issue(r)}, nil
}

// listen listens at an address unless it listens already, and returns the address and port.
func (s *Server) listen(address string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return "", errors.New("serve the page: the daemon is ending")
	case s.server != nil:
		return s.host, nil
	}
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		return "", fmt.Errorf("serve the page: %w", err)
	}
	handler := s.handler(listener.Addr().String())
	if s.config.Count != nil {
		handler = s.config.Count(handler)
	}
	s.host = listener.Addr().String()
	s.returns.serve(s.host)
	s.server = &http.Server{
		Handler:           handler,
		BaseContext:       func(net.Listener) context.Context { return s.config.Context },
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          slog.NewLogLogger(s.config.Log.Handler(), slog.LevelWarn),
	}
	go func(server *http.Server) {
		if err := server.Serve(sameUserListener{Listener: listener, log: s.config.Log}); !errors.Is(err, http.ErrServerClosed) {
			s.config.Log.Error("serving the page ended", "error", err)
		}
	}(s.server)
	s.config.Log.Info("serving the page", "address", s.host)
	return s.host, nil
}

// Shutdown stops listening and gives calls, which Config.Context has ended, a moment to answer.
func (s *Server) Shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	s.mu.Lock()
	server := s.server
	s.closed = true
	s.mu.Unlock()
	if server != nil && server.Shutdown(ctx) != nil {
		server.Close()
	}
}

// sameUserListener closes connections of other users of this machine.
type sameUserListener struct {
	net.Listener
	log *slog.Logger
}

func (l sameUserListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if err := checkUser(conn); err != nil {
			l.log.Warn("turned a connection to the page away", "from", conn.RemoteAddr().String(), "why", err)
			conn.Close()
			continue
		}
		return conn, nil
	}
}
