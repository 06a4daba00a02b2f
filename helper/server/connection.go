// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/localsocket"
)

const (
	firstRequest = 10 * time.Second       // for a caller to say the first word
	idleTimeout  = 2 * time.Minute        // between requests, for who holds no session
	writeTimeout = 10 * time.Second       // for a caller to take a reply
	watchEvery   = 500 * time.Millisecond // between two Status of a watch, at most
	carrierWait  = 30 * time.Second       // for a stream that is handed over before the tunnel is up
)

// connection is one caller's connection. Its fields belong to the goroutine that serves it, but for those that never
// change.
type connection struct {
	server  *Server
	conn    net.Conn
	caller  localsocket.Identity
	allowed bool

	owned *session // prepared on this connection, and ended with it
}

// errHangUp ends a connection without a further word.
var errHangUp = errors.New("the caller is gone")

// serve answers requests one after the other until the caller hangs up or turns the connection into a stream.
func (c *connection) serve() {
	log := c.server.options.Log.With("user", c.caller.Name, "process", c.caller.Process)
	if err := c.answer(); err != nil && !errors.Is(err, errHangUp) {
		log.Debug("connection ended", "reason", err)
	}
	if c.owned != nil {
		if err := c.server.end(c.owned); err != nil {
			log.Error("put back after the caller left", "error", err)
		}
	}
	if err := c.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		log.Debug("close connection", "error", err)
	}
}

func (c *connection) answer() error {
	timeout := firstRequest
	for {
		if err := c.conn.SetReadDeadline(c.readDeadline(timeout)); err != nil {
			return err
		}
		timeout = idleTimeout
		frame, err := api.ReadFrame(c.conn)
		if refusal, ok := errors.AsType[*api.Error](err); ok {
			return errors.Join(refusal, c.reply(nil, refusal))
		}
		if err != nil {
			return err
		}
		var request api.Request
		if err := api.DecodeStrict(frame, &request); err != nil {
			return errors.Join(err, c.reply(nil, err))
		}
		if err := c.dispatch(request); err != nil {
			return err
		}
	}
}

// readDeadline is when a silent caller is cut off. Who holds a session may be silent for ever.
func (c *connection) readDeadline(timeout time.Duration) time.Time {
	if c.owned != nil && c.owned.life.Err() == nil {
		return time.Time{}
	}
	return time.Now().Add(timeout)
}

// dispatch answers one request. An error ends the connection.
func (c *connection) dispatch(request api.Request) error {
	if request.Verb == api.VerbVersion {
		return c.reply(api.VersionReply{Version: c.server.options.Version, Protocol: api.Protocol}, nil)
	}
	if !c.allowed {
		return c.reply(nil, denied(c.caller))
	}
	switch request.Verb {
	case api.VerbPrepare:
		return work(c, request, c.prepare)
	case api.VerbUp:
		return work(c, request, c.up)
	case api.VerbUpdate:
		return work(c, request, c.update)
	case api.VerbDown:
		return work(c, request, c.down)
	case api.VerbStatus:
		return c.reply(c.server.status(c.caller), nil)
	case api.VerbWatch:
		return c.watch(request)
	case api.VerbCarrier:
		return c.carrier(request)
	default:
		return c.reply(nil, &api.Error{Code: api.CodeBadRequest, Message: "there is no such verb",
			Hint: "Caller and helper must be of the same version."})
	}
}

// checked is a request that knows its bounds.
type checked[T any] interface {
	*T
	Validate() error
}

// decode reads and checks a request's body.
func decode[T any, P checked[T]](request api.Request) (T, error) {
	var body T
	if err := api.DecodeStrict(request.Body, &body); err != nil {
		return body, err
	}
	return body, P(&body).Validate()
}

// work answers a request that takes time and changes things. If the caller hangs up before it is done, its context
// ends.
func work[T any, P checked[T]](c *connection, request api.Request, do func(context.Context, T) (any, error)) error {
	body, err := decode[T, P](request)
	if err != nil {
		return c.reply(nil, err)
	}
	ctx, stop, err := c.untilHangUp()
	if err != nil {
		return err
	}
	reply, err := do(ctx, body)
	if gone := stop(); gone != nil {
		return gone
	}
	return c.reply(reply, err)
}

// untilHangUp returns a context that ends when the caller hangs up. stop ends the watching, and returns errHangUp if
// the caller did hang up, or spoke out of turn, which counts as the same.
func (c *connection) untilHangUp() (ctx context.Context, stop func() error, err error) {
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan error, 1)
	go func() {
		var one [1]byte
		_, err := c.conn.Read(one[:])
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			gone <- nil
			return
		}
		cancel()
		gone <- errHangUp
	}()
	return ctx, func() error {
		defer cancel()
		// An error means that the connection is closed; the read has ended then.
		_ = c.conn.SetReadDeadline(time.Unix(1, 0))
		return <-gone
	}, nil
}

func (c *connection) prepare(ctx context.Context, body api.PrepareRequest) (any, error) {
	created, reply, err := c.server.prepare(ctx, c.caller)
	if err != nil {
		return nil, err
	}
	c.owned = created
	c.server.options.Log.Info("session prepared", "user", c.caller.Name, "client", body.ClientVersion)
	return reply, nil
}

func (c *connection) up(ctx context.Context, body api.UpRequest) (any, error) {
	found, err := c.server.find(body.Session, c.caller)
	if err != nil {
		return nil, err
	}
	status, err := found.up(ctx, body.Tunnel, c.server.options.Names, c.server.options.Journal)
	if err != nil {
		return nil, err
	}
	c.server.options.Log.Info("tunnel up", "user", c.caller.Name, "device", status.Device, "dns", status.DNS.Mode)
	return status, nil
}

func (c *connection) update(ctx context.Context, body api.UpdateRequest) (any, error) {
	found, err := c.server.find(body.Session, c.caller)
	if err != nil {
		return nil, err
	}
	status, err := found.update(ctx, body, c.server.options.Names)
	if err != nil {
		return nil, err
	}
	return status, nil
}

// down ends a session. One that has ended already is as good.
func (c *connection) down(_ context.Context, body api.DownRequest) (any, error) {
	found, err := c.server.find(body.Session, c.caller)
	if err != nil {
		return nil, nil
	}
	if err := c.server.end(found); err != nil {
		return nil, &api.Error{Code: api.CodeSystem, Message: "not everything could be put back: " + err.Error(),
			Hint: "Run 'fairlead-helper restore' as root."}
	}
	return nil, nil
}

// watch turns the connection into a stream of Status.
func (c *connection) watch(request api.Request) error {
	body, err := decode[api.WatchRequest](request)
	if err != nil {
		return c.reply(nil, err)
	}
	found, err := c.server.find(body.Session, c.caller)
	if err != nil {
		return c.reply(nil, err)
	}
	gone, stop, err := c.untilHangUp()
	if err != nil {
		return err
	}
	// What it returns says no more than that the caller left.
	defer func() { _ = stop() }()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		changed := found.nextChange()
		if err := c.reply(found.status(), nil); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-gone.Done():
			return errHangUp
		case <-found.ended:
			return errors.Join(errHangUp, c.reply(nil, c.server.over(body.Session)))
		}
	}
}

// carrier hands the connection over as the relay's byte stream.
func (c *connection) carrier(request api.Request) error {
	body, err := decode[api.CarrierRequest](request)
	if err != nil {
		return c.reply(nil, err)
	}
	found, err := c.server.find(body.Session, c.caller)
	if err != nil {
		return c.reply(nil, err)
	}
	tunnel, err := c.waitUp(found)
	if err != nil {
		if errors.Is(err, errHangUp) {
			return err
		}
		return c.reply(nil, err)
	}
	if err := c.reply(nil, nil); err != nil {
		return err
	}
	if err := c.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if err := tunnel.ServeRelay(found.life, c.conn); err != nil {
		return fmt.Errorf("relay stream ended: %w", err)
	}
	return errHangUp
}

func (c *connection) waitUp(found *session) (Tunnel, error) {
	ctx, stop, err := c.untilHangUp()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, carrierWait)
	defer cancel()
	tunnel, err := found.waitUp(ctx)
	if gone := stop(); gone != nil {
		return nil, gone
	}
	return tunnel, err
}

// reply answers with body, or with err, made an *api.Error if it is none.
func (c *connection) reply(body any, err error) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if err == nil {
		return api.WriteReply(c.conn, body)
	}
	refusal, ok := errors.AsType[*api.Error](err)
	if !ok {
		refusal = &api.Error{Code: api.CodeSystem, Message: err.Error(), Hint: "The helper's log has the details."}
	}
	return api.WriteFrame(c.conn, api.Reply{Error: refusal})
}

func denied(caller localsocket.Identity) *api.Error {
	return &api.Error{Code: api.CodeDenied,
		Message: fmt.Sprintf("%s may not use the helper on this machine", caller.Name),
		Hint:    fmt.Sprintf("An administrator lets you with: sudo fairlead helper install --user %s", caller.Name)}
}
