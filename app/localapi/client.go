// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// ErrNotRunning is in the errors of a Client when no daemon listens.
var ErrNotRunning = errors.New("the Fairlead daemon is not running")

// Client calls the local API. It is safe for concurrent use. Its errors are *problem.Problem, or contain
// ErrNotRunning.
type Client struct {
	http *http.Client
}

// NewClient returns a client of the daemon that listens on socket. It does not connect yet.
func NewClient(socket string) *Client {
	return newClient(func(ctx context.Context) (net.Conn, error) { return Dial(ctx, socket) })
}

func newClient(dial func(context.Context) (net.Conn, error)) *Client {
	return &Client{http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dial(ctx)
			if err != nil && ctx.Err() == nil {
				return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
			}
			return conn, err
		},
		DisableCompression: true,
	}}}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Version says which daemon answers.
func (c *Client) Version(ctx context.Context) (Version, error) {
	return call[Version](ctx, c, http.MethodGet, "/v1/version", nil)
}

// Status returns the session.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

// Watch calls each with the status now and on each change. It returns each's error, the context's once it is done, or
// nil when the daemon ends.
func (c *Client) Watch(ctx context.Context, each func(Status) error) error {
	return follow(ctx, c, "/v1/status/watch", eventStatus, each)
}

// follow calls each with the value of each event of a stream.
func follow[T any](ctx context.Context, c *Client, path, name string, each func(T) error) error {
	body, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	events := newEventReader(body)
	for {
		e, err := events.next()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return nil // the daemon has gone
		case e.Name != name:
			continue
		}
		var value T
		if err := json.Unmarshal(e.Data, &value); err != nil {
			return undecodable(err)
		}
		if err := each(value); err != nil {
			return err
		}
	}
}

// Connect returns when connected. When ctx is cancelled it returns once the daemon has answered to that: what is put
// back, or that connecting goes on for somebody else.
func (c *Client) Connect(ctx context.Context, r ConnectRequest) (Status, error) {
	return callToTheEnd[Status](ctx, c, "/v1/connect", r)
}

// Disconnect returns when everything is put back.
func (c *Client) Disconnect(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, http.MethodPost, "/v1/disconnect", struct{}{})
}

// Workloads lists what runs in a cluster.
func (c *Client) Workloads(ctx context.Context, r WorkloadsRequest) (Workloads, error) {
	return call[Workloads](ctx, c, http.MethodPost, "/v1/workloads", r)
}

// Contexts lists the contexts of the kubeconfig.
func (c *Client) Contexts(ctx context.Context, t Target) (Contexts, error) {
	return call[Contexts](ctx, c, http.MethodPost, "/v1/contexts", t)
}

// Namespaces lists the namespaces of a cluster.
func (c *Client) Namespaces(ctx context.Context, t Target) (Namespaces, error) {
	return call[Namespaces](ctx, c, http.MethodPost, "/v1/namespaces", t)
}

// Doctor runs all checks.
func (c *Client) Doctor(ctx context.Context, t Target) (Report, error) {
	return call[Report](ctx, c, http.MethodPost, "/v1/doctor", t)
}

// Helper says how the privileged helper is.
func (c *Client) Helper(ctx context.Context) (Helper, error) {
	return call[Helper](ctx, c, http.MethodGet, "/v1/helper", nil)
}

// GatewayStatus says how the gateway of a cluster is.
func (c *Client) GatewayStatus(ctx context.Context, t Target) (Gateway, error) {
	return call[Gateway](ctx, c, http.MethodPost, "/v1/gateway/status", t)
}

// GatewayInstall installs the gateway and returns when it is ready; progress gets each step in words.
func (c *Client) GatewayInstall(ctx context.Context, r GatewayRequest, progress func(string)) (Gateway, error) {
	return c.operate(ctx, "/v1/gateway/install", r, progress)
}

// GatewayUpgrade is GatewayInstall for a gateway that is there.
func (c *Client) GatewayUpgrade(ctx context.Context, r GatewayRequest, progress func(string)) (Gateway, error) {
	return c.operate(ctx, "/v1/gateway/upgrade", r, progress)
}

// GatewayUninstall removes the gateway and all that came with it.
func (c *Client) GatewayUninstall(ctx context.Context, r GatewayRequest, progress func(string)) (Gateway, error) {
	return c.operate(ctx, "/v1/gateway/uninstall", r, progress)
}

// Page returns an address under which a browser opens the page once.
func (c *Client) Page(ctx context.Context, r PageRequest) (Page, error) {
	return call[Page](ctx, c, http.MethodPost, "/v1/page", r)
}

// Settings returns what the user has chosen.
func (c *Client) Settings(ctx context.Context) (Settings, error) {
	return call[Settings](ctx, c, http.MethodGet, "/v1/settings", nil)
}

// SaveSettings replaces all settings, and returns what they are then.
func (c *Client) SaveSettings(ctx context.Context, s Settings) (Settings, error) {
	return call[Settings](ctx, c, http.MethodPost, "/v1/settings", s)
}

// Quit disconnects and ends the daemon.
func (c *Client) Quit(ctx context.Context) error {
	_, err := call[struct{}](ctx, c, http.MethodPost, "/v1/quit", struct{}{})
	return err
}

func (c *Client) operate(ctx context.Context, path string, r GatewayRequest, progress func(string)) (Gateway, error) {
	body, err := c.do(ctx, http.MethodPost, path, r)
	if err != nil {
		return Gateway{}, err
	}
	defer body.Close()
	return result[Gateway](ctx, newEventReader(body), progress)
}

// result reads the events of a long call up to its result or error.
func result[Out any](ctx context.Context, events *eventReader, progress func(string)) (out Out, err error) {
	for {
		e, err := events.next()
		if err != nil {
			return out, interrupted(ctx, err)
		}
		switch e.Name {
		case eventProgress:
			var p Progress
			if err := json.Unmarshal(e.Data, &p); err != nil {
				return out, undecodable(err)
			}
			progress(p.Message)
		case eventError:
			p := &problem.Problem{}
			if err := json.Unmarshal(e.Data, p); err != nil {
				return out, undecodable(err)
			}
			return out, p
		case eventResult:
			if err := json.Unmarshal(e.Data, &out); err != nil {
				return out, undecodable(err)
			}
			return out, nil
		}
	}
}

// call makes one request and decodes its reply.
func call[Out any](ctx context.Context, c *Client, method, path string, in any) (Out, error) {
	var out Out
	body, err := c.do(ctx, method, path, in)
	if err != nil {
		return out, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&out); err != nil {
		if ctx.Err() != nil || errors.Is(err, io.ErrUnexpectedEOF) {
			return out, interrupted(ctx, err)
		}
		return out, undecodable(err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(body, 1<<10)) // so that the connection can serve again
	return out, nil
}

// do sends a request and returns the body of a good reply; of a bad one, the Problem in it.
func (c *Client) do(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	var content io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		content = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://fairlead"+path, content)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if name, ok := ctx.Value(callName{}).(string); ok {
		request.Header.Set(callHeader, name)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, interrupted(ctx, err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	var f failure
	if err := json.NewDecoder(io.LimitReader(response.Body, maxBody)).Decode(&f); err != nil || f.Error == nil {
		return nil, undecodable(fmt.Errorf("HTTP status %s", response.Status))
	}
	return nil, f.Error
}

// interrupted explains why a call got no answer.
func interrupted(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return problem.Wrap(ctx.Err(), problem.Cancelled, "", "cancelled")
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return problem.New(problem.Timeout, "See the daemon's log; 'fairlead version' names it.", "the Fairlead daemon did not answer in time")
	case errors.Is(err, ErrNotRunning):
		return err
	default:
		return problem.Wrap(err, problem.Internal, "Run the command again; the daemon's log, named by 'fairlead version', says what happened.",
			"the Fairlead daemon ended before it answered")
	}
}

func undecodable(err error) error {
	return problem.Wrap(err, problem.Internal, "The running daemon may be of another version: run 'fairlead quit', then the command again.",
		"the answer of the Fairlead daemon can't be read")
}
