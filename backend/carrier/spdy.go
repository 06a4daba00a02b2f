// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	core "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// overSPDY is for servers, and proxies on the way, that don't know WebSockets. It is kubectl's way of long ago, by
// Kubernetes' own library, which is slower than portForward.
func (d *Dialer) overSPDY(ctx context.Context, address *url.URL, target Target) (*spdyStream, error) {
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
	connection, err := upgrader.NewConnection(response)
	if err != nil {
		return nil, err
	}
	stream, err := openStreams(ctx, connection, target)
	if err != nil {
		go connection.Close() //nolint:errcheck // it says goodbye, which may wait for a dead network and matters to nobody
		return nil, err
	}
	return stream, nil
}

// openStreams asks for the port: one stream for errors, one for data, opened at the same time to save a round trip. It
// does not wait for the answers when ctx ends, because they may be half a minute away.
func openStreams(ctx context.Context, connection httpstream.Connection, target Target) (*spdyStream, error) {
	reports := openStream(connection, core.StreamTypeError, target)
	data := openStream(connection, core.StreamTypeData, target)
	s := &spdyStream{connection: connection}
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
func openStream(connection httpstream.Connection, kind string, target Target) <-chan openedStream {
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

// spdyStream is an open stream over SPDY alone. Reads that fail say what the kubelet reported, where it did.
type spdyStream struct {
	httpstream.Stream
	connection httpstream.Connection

	mu     sync.Mutex
	report string
	once   sync.Once
}

// collect waits for what the kubelet has to report, and ends the stream then.
func (s *spdyStream) collect(reports io.Reader) {
	text, _ := io.ReadAll(io.LimitReader(reports, errorText))
	if report := strings.TrimSpace(string(text)); report != "" {
		s.mu.Lock()
		s.report = report
		s.mu.Unlock()
		_ = s.Close()
	}
}

// Read reads relay bytes.
func (s *spdyStream) Read(p []byte) (int, error) {
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
func (s *spdyStream) Close() error {
	s.once.Do(func() {
		go s.connection.Close() //nolint:errcheck // it says goodbye, which may wait for a dead network and matters to nobody
	})
	return nil
}
