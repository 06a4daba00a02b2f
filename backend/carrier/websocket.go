// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// websocketTransport upgrades one request to a WebSocket. client-go has the like, without a say in how connections are
// dialed and how large buffers are.
type websocketTransport struct {
	tls   *tls.Config
	proxy func(*http.Request) (*url.URL, error)
	dial  func(context.Context, string, string) (net.Conn, error)
	conn  *websocket.Conn
}

// RoundTrip upgrades the request. A refusal to upgrade is an *httpstream.UpgradeFailureError, whose cause is the API
// server's status where it sent one.
func (t *websocketTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	protocols := request.Header[wsstream.WebSocketProtocolHeader]
	header := request.Header.Clone()
	delete(header, wsstream.WebSocketProtocolHeader)
	address := *request.URL
	switch address.Scheme {
	case "https":
		address.Scheme = "wss"
	case "http":
		address.Scheme = "ws"
	}
	breaker := &breaker{ctx: request.Context(), dial: t.dial}
	defer breaker.release()
	dialer := websocket.Dialer{
		NetDialContext:  breaker.DialContext,
		Proxy:           t.proxy,
		TLSClientConfig: t.tls,
		Subprotocols:    protocols,
		ReadBufferSize:  websocketBuffer,
		WriteBufferSize: websocketBuffer,
	}
	conn, response, err := dialer.DialContext(request.Context(), address.String(), header)
	switch {
	case request.Context().Err() != nil:
		if conn != nil {
			_ = conn.Close()
		}
		return nil, request.Context().Err()
	case errors.Is(err, websocket.ErrBadHandshake):
		return nil, &httpstream.UpgradeFailureError{Cause: refusal(err, response)}
	case err != nil:
		return nil, err
	case !slices.Contains(protocols, conn.Subprotocol()):
		_ = conn.Close()
		return nil, &httpstream.UpgradeFailureError{Cause: fmt.Errorf("the server chose the protocol %q of %q", conn.Subprotocol(), protocols)}
	}
	t.conn = conn
	return response, nil
}

// breaker closes the connections of an upgrade that is given up: the WebSocket dialer heeds a context's deadline, but
// not its being cancelled, while it waits for the server's answer.
type breaker struct {
	ctx  context.Context
	dial func(context.Context, string, string) (net.Conn, error)
	stop []func() bool
}

func (b *breaker) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := b.dial(ctx, network, address)
	if err == nil {
		b.stop = append(b.stop, context.AfterFunc(b.ctx, func() { _ = conn.Close() }))
	}
	return conn, err
}

// release lets the connections live on, whatever becomes of the context.
func (b *breaker) release() {
	for _, stop := range b.stop {
		stop()
	}
}

// refusal says what the server answered instead of upgrading.
func refusal(err error, response *http.Response) error {
	if response == nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // nothing is left to do with it
	body, readErr := io.ReadAll(io.LimitReader(response.Body, errorText))
	var status metav1.Status
	switch {
	case readErr == nil && json.Unmarshal(body, &status) == nil && status.Kind == "Status":
		return &apierrors.StatusError{ErrStatus: status}
	case len(bytes.TrimSpace(body)) > 0:
		return fmt.Errorf("%w (%s): %s", err, response.Status, bytes.TrimSpace(body))
	}
	return fmt.Errorf("%w (%s)", err, response.Status)
}
