// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/app/web"
	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/frontend"
)

const (
	// DefaultIdle is how long a daemon without session and callers waits before it ends.
	DefaultIdle = 30 * time.Minute
	// drainTimeout bounds how long calls may take to end once the session is down.
	drainTimeout = 2 * time.Second
	// headerTimeout bounds how long a caller may take to send the header of a request.
	headerTimeout = 10 * time.Second
)

// Operations are what the daemon serves.
type Operations interface {
	localapi.Operations
	// Close disconnects, ends all watches and returns when everything is put back.
	Close()
}

// Config is what a daemon runs with.
type Config struct {
	Version string
	Socket  string
	LogFile string        // told to callers
	Idle    time.Duration // 0 is DefaultIdle
	Log     *slog.Logger
	// Operations makes what the daemon serves, once it is certain that no other daemon runs.
	Operations func() (Operations, error)
	// Ready is called once callers are served.
	Ready func()
}

// Run serves the local API until ctx is done, a caller asks it to quit, or nobody has needed it for a while. It
// returns when everything is put back. It returns ErrRunning, and does nothing, while another daemon serves the socket.
func Run(ctx context.Context, c Config) error {
	listener, release, err := claim(ctx, c.Socket)
	if err != nil {
		return err
	}
	defer release()
	operations, err := c.Operations()
	if err != nil {
		listener.Close()
		return fmt.Errorf("start the daemon: %w", err)
	}
	d := &daemon{
		Operations:   operations,
		version:      localapi.Version{Version: c.Version, PID: os.Getpid(), Started: time.Now().UTC(), Socket: c.Socket, Log: c.LogFile},
		log:          c.Log,
		quit:         make(chan struct{}),
		disconnected: make(chan struct{}),
	}
	return d.serve(ctx, listener, c)
}

// daemon is the localapi.Backend of a running daemon.
type daemon struct {
	Operations
	version localapi.Version
	log     *slog.Logger
	calls   localapi.Calls
	pages   *web.Server // for browsers

	quitOnce     sync.Once
	quit         chan struct{} // closed when a caller asks to quit
	disconnected chan struct{} // closed when everything is put back
}

func (d *daemon) serve(ctx context.Context, listener net.Listener, c Config) error {
	calls, endCalls := context.WithCancel(context.WithoutCancel(ctx))
	defer endCalls()
	attendance := newAttendance(c.Idle, d.isDisconnected)
	d.pages = web.New(web.Config{
		Backend: d, Page: frontend.Files(), Log: d.log, Context: calls, Count: attendance.count,
		State: pagesFile(c),
	})
	server := &http.Server{
		Handler:           attendance.count(localapi.Handler(d, d.log)),
		BaseContext:       func(net.Listener) context.Context { return calls },
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          slog.NewLogLogger(d.log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if err := d.pages.Resume(); err != nil {
		d.log.Warn("open pages of an earlier daemon can't come back", "error", err)
	}
	d.log.Info("serving", "socket", d.version.Socket, "version", d.version.Version, "pid", d.version.PID)
	c.Ready()

	var failed error
	select {
	case <-ctx.Done():
		d.log.Info("ending: asked by a signal")
	case <-d.quit:
		d.log.Info("ending: asked to quit")
	case <-attendance.idle():
		d.log.Info("ending: not needed for a while")
	case <-unreachable(calls, listener):
		d.log.Warn("ending: the socket is gone, so that nobody could reach this daemon any more", "socket", c.Socket)
	case failed = <-served:
	}
	listener.Close() // from here on a new daemon may start; it waits until this one is gone
	d.Close()
	close(d.disconnected)
	d.drain(server, endCalls)
	if failed != nil && !errors.Is(failed, http.ErrServerClosed) {
		return fmt.Errorf("serve the local API: %w", failed)
	}
	return nil
}

// pagesFile is where it is kept which pages may come back: beside the socket, or beside the log where the socket is no file.
func pagesFile(c Config) string {
	beside := c.Socket
	if strings.HasPrefix(beside, `\\`) {
		beside = c.LogFile
	}
	if beside == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(beside), "pages.json")
}

// drain lets calls that are about to be answered end, then ends the others.
func (d *daemon) drain(server *http.Server, endCalls func()) {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
		defer cancel()
		pages := make(chan struct{})
		go func() { defer close(pages); d.pages.Shutdown(ctx) }()
		defer func() { <-pages }()
		if server.Shutdown(ctx) != nil {
			server.Close()
		}
	}()
	endCalls()
	<-drained
}

func (d *daemon) isDisconnected() bool { return d.Status().State == session.Disconnected }

// Version says which daemon this is.
func (d *daemon) Version() localapi.Version { return d.version }

// Calls are those under way, of all faces.
func (d *daemon) Calls() *localapi.Calls { return &d.calls }

// Page makes an address under which a browser opens the page once.
func (d *daemon) Page(_ context.Context, r localapi.PageRequest) (localapi.Page, error) {
	return d.pages.Open(r)
}

// Quit makes the daemon end, and returns when everything is put back.
func (d *daemon) Quit(ctx context.Context) error {
	d.quitOnce.Do(func() { close(d.quit) })
	select {
	case <-d.disconnected:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-d.disconnected: // calls are ended right after that
		return nil
	default:
		return ctx.Err()
	}
}
