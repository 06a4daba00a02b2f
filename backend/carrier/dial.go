// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport"
	clientwebsocket "k8s.io/client-go/transport/websocket"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/fairlead-dev/fairlead/agent/api/carrier/sockets"
)

// Target is a pod and a port in it.
type Target struct {
	Namespace string
	Pod       string
	Port      int32
}

// Valid reports whether the target names something.
func (t Target) Valid() bool { return t.Namespace != "" && t.Pod != "" && t.Port > 0 }

const (
	// pingPeriod keeps idle connections through load balancers alive, as kubectl does.
	pingPeriod = 10 * time.Second
	// websocketBuffer is the size in bytes of a WebSocket connection's buffers, for the client side of the tunnel. A
	// message that is larger is cut into frames of this size.
	websocketBuffer = 128 << 10
	// readBuffer is how much is read from the kernel at once, in bytes.
	readBuffer = 256 << 10
	// errorText bounds what is read of an error that the kubelet reports, in bytes.
	errorText = 4 << 10
)

// Dialer opens relay streams as kubectl port-forward does: SPDY inside a WebSocket, or SPDY alone where the API server
// or a proxy on the way does not know WebSockets. Its zero value is not usable. It is safe for concurrent use.
type Dialer struct {
	config *rest.Config
}

// NewDialer returns a Dialer that uses the credentials, proxy and dial function of config.
func NewDialer(config *rest.Config) *Dialer { return &Dialer{config: rest.CopyConfig(config)} }

// Dial opens a stream to the target. The stream lives on when ctx ends after Dial has returned. Errors of the API
// server are those of k8s.io/apimachinery/pkg/api/errors.
func (d *Dialer) Dial(ctx context.Context, target Target) (io.ReadWriteCloser, error) {
	stream, err := d.open(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("open a port-forward to pod %s/%s: %w", target.Namespace, target.Pod, cause(err))
	}
	return stream, nil
}

// cause returns what an upgrade failed of: the API server's own answer, where it gave one.
func cause(err error) error {
	if upgrade, ok := errors.AsType[*httpstream.UpgradeFailureError](err); ok && upgrade.Cause != nil {
		return upgrade.Cause
	}
	return err
}

// open opens a stream by the best way that the server knows.
func (d *Dialer) open(ctx context.Context, target Target) (io.ReadWriteCloser, error) {
	address, err := d.url(target)
	if err != nil {
		return nil, err
	}
	stream, err := d.overWebSocket(ctx, address, target)
	if err == nil {
		return stream, nil
	}
	if !httpstream.IsUpgradeFailure(err) && !httpstream.IsHTTPSProxyError(err) {
		return nil, err
	}
	fallback, spdyErr := d.overSPDY(ctx, address, target)
	switch {
	case spdyErr == nil:
		return fallback, nil
	case isStatus(cause(err)):
		return nil, err // the API server has said why, in full
	}
	return nil, spdyErr
}

// isStatus reports whether err is an answer of the API server.
func isStatus(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status)
}

func (d *Dialer) url(target Target) (*url.URL, error) {
	base, _, err := rest.DefaultServerUrlFor(d.config)
	if err != nil {
		return nil, fmt.Errorf("parse server URL: %w", err)
	}
	return base.JoinPath("api/v1/namespaces", target.Namespace, "pods", target.Pod, "portforward"), nil
}

func (d *Dialer) overWebSocket(ctx context.Context, address *url.URL, target Target) (*portForward, error) {
	config, err := d.config.TransportConfig()
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	upgrader := &websocketTransport{proxy: d.config.Proxy, dial: relayDial(d.config.Dial, address.Scheme == "https")}
	if upgrader.tls, err = transport.TLSConfigFor(config); err != nil {
		return nil, fmt.Errorf("read TLS configuration: %w", err)
	}
	wrapped, err := transport.HTTPWrappersForConfig(config, upgrader)
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	conn, err := clientwebsocket.Negotiate(wrapped, upgrader, request, tunnelPrefix+portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.NetConn().Close() })
	stream, err := openPortForward(conn, conn.NetConn(), target.Port)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.NetConn().Close()
		return nil, err
	}
	stream.dataIsHere = dataIsHere(conn.NetConn())
	return stream, nil
}

// tunnelPrefix marks a protocol that is spoken in SPDY inside a WebSocket (KEP-4006).
const tunnelPrefix = "SPDY/3.1+"

// relayDial makes connections that are fit for a relay: see tuneRelay. Reads are buffered, because TLS would otherwise
// ask the kernel twice for each record of 16 KiB.
func relayDial(dial func(context.Context, string, string) (net.Conn, error), secure bool) func(context.Context, string, string) (net.Conn, error) {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			tuneRelay(tcp)
			conn = sockets.Unwatched(tcp)
		}
		return &bufferedConn{Conn: conn, reader: bufio.NewReaderSize(conn, readBuffer), secure: secure}, nil
	}
}

// bufferedConn is a connection that is read from the kernel in large pieces, and that knows the TLS records in them:
// crypto/tls would otherwise take more than one, and nobody could tell how much has come already.
type bufferedConn struct {
	net.Conn
	reader *bufio.Reader
	secure bool // it carries TLS
	record int  // bytes left of the record that is being read
}

const (
	// recordHeader is the size of a TLS record's header in bytes: type, version, length (RFC 8446, section 5.1).
	recordHeader = 5
	// dataRecord is a size in bytes that only records with data have: what is not data is in records of its own.
	dataRecord = 1 << 10
)

func (c *bufferedConn) Read(p []byte) (int, error) {
	if c.secure && c.record == 0 {
		// An error comes again with the next read.
		if first, err := c.reader.Peek(1); err == nil && isRecord(first[0]) {
			if header, err := c.reader.Peek(recordHeader); err == nil {
				c.record = recordHeader + int(binary.BigEndian.Uint16(header[3:]))
			}
		}
	}
	if c.record == 0 { // a proxy's words before TLS begins
		return c.reader.Read(p)
	}
	n, err := c.reader.Read(p[:min(len(p), c.record)])
	c.record -= n
	return n, err
}

// isRecord reports whether a TLS record may begin with a byte: its type.
func isRecord(first byte) bool { return first >= 20 && first <= 23 }

// dataIsHere reports whether a whole record with data, and all before it, can be read without waiting. Servers put the
// headers between data into small records of their own. It belongs to the reader.
func (c *bufferedConn) dataIsHere() bool {
	if !c.secure || c.record != 0 {
		return false
	}
	ahead, _ := c.reader.Peek(c.reader.Buffered())
	for len(ahead) >= recordHeader {
		size := int(binary.BigEndian.Uint16(ahead[3:]))
		if len(ahead) < recordHeader+size {
			return false
		}
		if size >= dataRecord {
			return true
		}
		ahead = ahead[recordHeader+size:]
	}
	return false
}

// dataIsHere returns what tells whether a connection has more data that can be read without waiting; nil if nobody
// knows.
func dataIsHere(conn net.Conn) func() bool {
	if secured, ok := conn.(*tls.Conn); ok {
		if own, ok := secured.NetConn().(*bufferedConn); ok {
			return own.dataIsHere
		}
	}
	return nil
}

var _ http.RoundTripper = (*websocketTransport)(nil)
var _ clientwebsocket.ConnectionHolder = (*websocketTransport)(nil)

// DataBufferSize and Connection are what client-go's negotiation asks for.
func (t *websocketTransport) DataBufferSize() int         { return websocketBuffer }
func (t *websocketTransport) Connection() *websocket.Conn { return t.conn }
