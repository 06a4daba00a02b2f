// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport"
	clientwebsocket "k8s.io/client-go/transport/websocket"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
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
	session, err := d.connect(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("open a port-forward to pod %s/%s: %w", target.Namespace, target.Pod, cause(err))
	}
	stream, err := openStreams(ctx, session, target)
	if err != nil {
		session.end()
		return nil, fmt.Errorf("open a port-forward to pod %s/%s: %w", target.Namespace, target.Pod, err)
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

// session is the connection that streams are opened on.
type session struct {
	httpstream.Connection
	abort func() error // cuts the connection below, so that nothing waits for a network that is gone; may be nil
}

// end ends the connection without waiting for the network.
func (s session) end() {
	if s.abort != nil {
		_ = s.abort()
	}
	go s.Close() //nolint:errcheck // it says goodbye, which may wait for a dead network and matters to nobody
}

// connect makes the connection that streams are opened on.
func (d *Dialer) connect(ctx context.Context, target Target) (session, error) {
	address, err := d.url(target)
	if err != nil {
		return session{}, err
	}
	over, err := d.overWebSocket(ctx, address)
	if !httpstream.IsUpgradeFailure(err) && !httpstream.IsHTTPSProxyError(err) {
		return over, err
	}
	connection, spdyErr := d.overSPDY(ctx, address)
	if spdyErr != nil && isStatus(cause(err)) {
		return session{}, err // the API server has said why, in full
	}
	return session{Connection: connection}, spdyErr
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

func (d *Dialer) overWebSocket(ctx context.Context, address *url.URL) (session, error) {
	config, err := d.config.TransportConfig()
	if err != nil {
		return session{}, fmt.Errorf("read credentials: %w", err)
	}
	upgrader := &websocketTransport{proxy: d.config.Proxy, dial: relayDial(d.config.Dial)}
	if upgrader.tls, err = transport.TLSConfigFor(config); err != nil {
		return session{}, fmt.Errorf("read TLS configuration: %w", err)
	}
	wrapped, err := transport.HTTPWrappersForConfig(config, upgrader)
	if err != nil {
		return session{}, fmt.Errorf("read credentials: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return session{}, err
	}
	conn, err := clientwebsocket.Negotiate(wrapped, upgrader, request, tunnelPrefix+portforward.PortForwardProtocolV1Name)
	if err != nil {
		return session{}, err
	}
	connection, err := spdy.NewClientConnectionWithPings(&framedConn{ws: conn}, pingPeriod)
	return session{Connection: connection, abort: conn.NetConn().Close}, err
}

// tunnelPrefix marks a protocol that is spoken in SPDY inside a WebSocket (KEP-4006).
const tunnelPrefix = "SPDY/3.1+"

func (d *Dialer) overSPDY(ctx context.Context, address *url.URL) (httpstream.Connection, error) {
	config, err := d.config.TransportConfig()
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	tlsConfig, err := transport.TLSConfigFor(config)
	if err != nil {
		return nil, fmt.Errorf("read TLS configuration: %w", err)
	}
	upgrader, err := spdy.NewRoundTripperWithConfig(spdy.RoundTripperConfig{TLS: tlsConfig, Proxier: d.config.Proxy, PingPeriod: pingPeriod})
	if err != nil {
		return nil, err
	}
	wrapped, err := transport.HTTPWrappersForConfig(config, upgrader)
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Add(httpstream.HeaderProtocolVersion, portforward.PortForwardProtocolV1Name)
	response, err := wrapped.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // the connection has been taken over, or the error is the answer
	return upgrader.NewConnection(response)
}

// openStreams asks for the port: one stream for errors, one for data, opened at the same time to save a round trip. It
// does not wait for the answers when ctx ends, because they may be half a minute away.
func openStreams(ctx context.Context, connection session, target Target) (*Stream, error) {
	reports := openStream(connection, core.StreamTypeError, target)
	data := openStream(connection, core.StreamTypeData, target)
	s := &Stream{session: connection}
	var reported io.Reader
	for range 2 {
		select {
		case o := <-data:
			if o.err != nil {
				return nil, fmt.Errorf("open data stream: %w", o.err)
			}
			s.Stream = o.stream
		case o := <-reports:
			if o.err != nil {
				return nil, fmt.Errorf("open error stream: %w", o.err)
			}
			_ = o.stream.Close() // we have nothing to say on it
			reported = o.stream
		case <-connection.CloseChan():
			return nil, errors.New("the API server closed the connection")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	go s.collect(reported) // it ends the stream when there is a report, so not before both are open
	return s, nil
}

type openedStream struct {
	stream httpstream.Stream
	err    error
}

// openStream asks for one stream; the answer comes over the channel.
func openStream(connection session, kind string, target Target) <-chan openedStream {
	headers := http.Header{}
	headers.Set(core.StreamType, kind)
	headers.Set(core.PortHeader, strconv.Itoa(int(target.Port)))
	headers.Set(core.PortForwardRequestIDHeader, "0")
	answer := make(chan openedStream, 1)
	go func() {
		stream, err := connection.CreateStream(headers)
		answer <- openedStream{stream, err}
	}()
	return answer
}

// Stream is an open relay stream. Reads that fail say what the kubelet reported, where it did.
type Stream struct {
	httpstream.Stream
	session session

	mu     sync.Mutex
	report string
	once   sync.Once
}

// collect waits for what the kubelet has to report, and ends the stream then.
func (s *Stream) collect(reports io.Reader) {
	text, _ := io.ReadAll(io.LimitReader(reports, errorText))
	if report := strings.TrimSpace(string(text)); report != "" {
		s.mu.Lock()
		s.report = report
		s.mu.Unlock()
		_ = s.Close()
	}
}

// Read reads relay bytes.
func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.report != "" {
			return n, fmt.Errorf("the kubelet reports: %s", s.report)
		}
	}
	return n, err
}

// Close ends the stream and its connection, without waiting for the network. Pending reads and writes return.
func (s *Stream) Close() error {
	s.once.Do(s.session.end)
	return nil
}

// relayDial makes connections that are fit for a relay: see tuneRelay. Reads are buffered, because TLS would otherwise
// ask the kernel twice for each record of 16 KiB.
func relayDial(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
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
		}
		return &bufferedConn{Conn: conn, reader: bufio.NewReaderSize(conn, readBuffer)}, nil
	}
}

// bufferedConn is a connection that is read from the kernel in large pieces.
type bufferedConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

var _ http.RoundTripper = (*websocketTransport)(nil)
var _ clientwebsocket.ConnectionHolder = (*websocketTransport)(nil)

// DataBufferSize and Connection are what client-go's negotiation asks for.
func (t *websocketTransport) DataBufferSize() int         { return websocketBuffer }
func (t *websocketTransport) Connection() *websocket.Conn { return t.conn }
