// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/fairlead-dev/fairlead/backend/programs"
)

const (
	// dialTimeout bounds a connection to the program on this laptop. It leaves the answer time to get back before the
	// sidecar's own limit (wire.OpenTimeout).
	dialTimeout = 1200 * time.Millisecond
	// lookTimeout bounds the look whether a program listens.
	lookTimeout = 300 * time.Millisecond
	// freshFor is how long what was seen of a target counts.
	freshFor = 700 * time.Millisecond
)

// target is a program on this laptop, or on a host beside it such as a container. Methods are safe for concurrent use.
type target struct {
	protocol string // TCP or UDP
	address  string // host:port

	mu        sync.Mutex
	listening bool
	seen      time.Time // when listening was found out; zero for not yet
}

// addresses are those to try, in order.
func (t *target) addresses() []string {
	if host, port, err := net.SplitHostPort(t.address); err == nil && host == loopback {
		return []string{t.address, net.JoinHostPort("::1", port)}
	}
	return []string{t.address}
}

// dial connects to the program.
func (t *target) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var dialer net.Dialer
	var first error
	for _, address := range t.addresses() {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			t.saw(true)
			return conn, nil
		}
		if first == nil {
			first = err
		}
	}
	t.saw(!isRefused(first) && t.sawLast())
	return nil, first
}

// isListening reports whether a program answers, without disturbing it where the system can tell.
func (t *target) isListening(ctx context.Context) bool {
	t.mu.Lock()
	if time.Since(t.seen) < freshFor {
		defer t.mu.Unlock()
		return t.listening
	}
	t.mu.Unlock()
	listening := t.look(ctx)
	t.saw(listening)
	return listening
}

func (t *target) look(ctx context.Context) bool {
	for _, address := range t.addresses() {
		if at, err := netip.ParseAddrPort(address); err == nil {
			if listens, known := programs.Listens(t.protocol, at); known && listens {
				return true
			}
		}
	}
	if t.protocol == "UDP" { // nothing tells but a datagram
		_, known := programs.Listens(t.protocol, netip.AddrPort{})
		at, err := netip.ParseAddrPort(t.address)
		return !known || err != nil || !at.Addr().IsLoopback()
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var dialer net.Dialer
	for _, address := range t.addresses() {
		// Where the system shows no listener, a connection disturbs nobody, or finds one that a packet filter leads to.
		if conn, err := dialer.DialContext(ctx, "tcp", address); err == nil {
			_ = conn.Close()
			return true
		}
	}
	return false
}

func (t *target) saw(listening bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listening, t.seen = listening, time.Now()
}

// sawLast is what was seen last.
func (t *target) sawLast() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.listening
}

// absent says that nobody listens.
func (t *target) absent() string { return fmt.Sprintf("nothing listens on %s", t.address) }

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
