// SPDX-License-Identifier: Apache-2.0

// Package client calls the helper from programs of the user.
//
// It owns connections to the local socket and nothing else: what is asked and what the answers mean is the caller's.
// It must not run with privilege, and must not start or install the helper.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/helper/api"
	"github.com/fairlead-dev/fairlead/helper/localsocket"
)

// ErrUnavailable says that no helper answers on the socket: it is not installed, or not running.
var ErrUnavailable = errors.New("the helper does not answer")

// Client is one control connection to the helper. The session that Prepare opens lasts as long as the Client, and ends
// when it is closed or when this process ends. It is safe for concurrent use; calls wait for one another, except that
// Watch and Carrier use connections of their own.
//
// Refusals by the helper are *api.Error.
type Client struct {
	path string

	turn   chan struct{} // holds one token: who has it may use conn
	conn   net.Conn
	broken error // set by who has the token once conn is unusable

	once   sync.Once
	closed chan struct{}
}

// Dial connects to the helper. An empty path means the environment variable localsocket.PathVariable, else the default.
// The error wraps ErrUnavailable when nobody listens.
func Dial(ctx context.Context, path string) (*Client, error) {
	conn, err := dial(ctx, path)
	if err != nil {
		return nil, err
	}
	c := &Client{path: path, conn: conn, turn: make(chan struct{}, 1), closed: make(chan struct{})}
	c.turn <- struct{}{}
	return c, nil
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	conn, err := localsocket.Dial(ctx, path)
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return conn, err
}

// Close ends the control connection, and with it the session that was opened on it. Later calls do nothing.
func (c *Client) Close() (err error) {
	c.once.Do(func() {
		close(c.closed)
		err = c.conn.Close()
	})
	return err
}

// Version asks who answers.
func (c *Client) Version(ctx context.Context) (api.VersionReply, error) {
	var reply api.VersionReply
	return reply, c.call(ctx, api.VerbVersion, nil, &reply)
}

// Prepare opens a session; Protocol is filled in.
func (c *Client) Prepare(ctx context.Context, request api.PrepareRequest) (api.PrepareReply, error) {
	request.Protocol = api.Protocol
	var reply api.PrepareReply
	return reply, c.call(ctx, api.VerbPrepare, request, &reply)
}

// Up builds the tunnel. When ctx ends first the control connection is closed, and the helper puts everything back.
func (c *Client) Up(ctx context.Context, request api.UpRequest) (api.Status, error) {
	var reply api.Status
	return reply, c.call(ctx, api.VerbUp, request, &reply)
}

// Update changes parts of the tunnel.
func (c *Client) Update(ctx context.Context, request api.UpdateRequest) (api.Status, error) {
	var reply api.Status
	return reply, c.call(ctx, api.VerbUpdate, request, &reply)
}

// Down ends the session and returns when everything is put back. It overtakes an Up that is under way.
func (c *Client) Down(ctx context.Context, session string) error {
	// On a connection of its own, because the control connection may be busy with the very call to be cut short.
	return c.separately(ctx, func(conn net.Conn) error {
		return exchange(conn, api.VerbDown, api.DownRequest{Session: session}, nil)
	})
}

// Status asks for the helper's status once.
func (c *Client) Status(ctx context.Context) (api.Status, error) {
	var reply api.Status
	return reply, c.call(ctx, api.VerbStatus, nil, &reply)
}

// Watch follows a session: yield is called now, on each change, and at least every 500 ms, until it returns false, ctx
// ends, the session ends or the helper goes away. The error is nil only if yield returned false. It blocks, and needs
// no Client connection to be idle.
func (c *Client) Watch(ctx context.Context, session string, yield func(api.Status) bool) error {
	return c.separately(ctx, func(conn net.Conn) error {
		if err := api.WriteRequest(conn, api.VerbWatch, api.WatchRequest{Session: session}); err != nil {
			return err
		}
		for {
			var status api.Status
			if err := conn.SetReadDeadline(time.Now().Add(watchSilence)); err != nil {
				return err
			}
			if err := api.ReadReply(conn, &status); err != nil {
				return err
			}
			if !yield(status) {
				return nil
			}
		}
	})
}

// watchSilence is how long a watched helper may say nothing before it counts as gone: ten times its promise.
const watchSilence = 5 * time.Second

// Carrier returns a byte stream that the helper uses as the relay carrier: the caller joins it with a stream to the
// gateway's relay port and copies both ways, untouched.
func (c *Client) Carrier(ctx context.Context, session string) (net.Conn, error) {
	conn, err := dial(ctx, c.path)
	if err != nil {
		return nil, err
	}
	err = bounded(ctx, conn, c.closed, func() error {
		return exchange(conn, api.VerbCarrier, api.CarrierRequest{Session: session}, nil)
	})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// call does one exchange on the control connection. The connection is closed when ctx ends half way, because the
// stream is then out of step; the session ends with it.
func (c *Client) call(ctx context.Context, verb api.Verb, request, reply any) error {
	select {
	case <-c.turn:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.closed:
		return net.ErrClosed
	}
	defer func() { c.turn <- struct{}{} }()
	if c.broken != nil {
		return c.broken
	}
	err := bounded(ctx, c.conn, c.closed, func() error { return exchange(c.conn, verb, request, reply) })
	if err != nil {
		if _, refused := errors.AsType[*api.Error](err); !refused {
			c.broken = fmt.Errorf("%w: %w", ErrUnavailable, err)
			if err := c.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				c.broken = errors.Join(c.broken, err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return c.broken
		}
	}
	return err
}

// separately runs f with a connection of its own, which ends with ctx and with the Client.
func (c *Client) separately(ctx context.Context, f func(net.Conn) error) error {
	conn, err := dial(ctx, c.path)
	if err != nil {
		return err
	}
	return errors.Join(bounded(ctx, conn, c.closed, func() error { return f(conn) }), conn.Close())
}

// bounded runs f and cuts conn's I/O short when ctx or closed ends before it is done. It then returns ctx's error.
func bounded(ctx context.Context, conn net.Conn, closed <-chan struct{}, f func() error) error {
	finished := make(chan struct{})
	stopped := make(chan error, 1)
	go func() {
		select {
		case <-finished:
			stopped <- nil
		case <-closed:
			stopped <- errors.Join(net.ErrClosed, conn.SetDeadline(past))
		case <-ctx.Done():
			stopped <- errors.Join(ctx.Err(), conn.SetDeadline(past))
		}
	}()
	err := f()
	close(finished)
	if cut := <-stopped; cut != nil {
		return cut
	}
	return err
}

var past = time.Unix(1, 0)

func exchange(conn net.Conn, verb api.Verb, request, reply any) error {
	if err := api.WriteRequest(conn, verb, request); err != nil {
		return err
	}
	return api.ReadReply(conn, reply)
}
