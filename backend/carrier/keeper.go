// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/carrier/sockets"
)

const (
	// openTimeout bounds one attempt to open the relay and hand it over.
	openTimeout = 8 * time.Second
	// firstRetry and longestRetry are the pauses between attempts. The longest is short: after sleep or a cut the relay
	// must be back within seconds of the link.
	firstRetry   = 200 * time.Millisecond
	longestRetry = 2 * time.Second
	// copyBuffer is how much is copied at once, in bytes. One write becomes one SPDY frame, so large is cheap.
	copyBuffer = 256 << 10
)

// Keeper keeps one relay open: it opens a stream, hands it to the helper, copies between the two, and opens another
// when that ends, is reported dead, or another pod serves. Its methods are safe for concurrent use.
type Keeper struct {
	// Open opens a stream to the target.
	Open func(context.Context, Target) (io.ReadWriteCloser, error)
	// Hand gives the helper's end of the relay. It replaces the one before.
	Hand func(context.Context) (net.Conn, error)
	// Changed is called, if set, after Open or Hand has succeeded or failed, and after a stream has ended.
	Changed func(KeeperStatus)
	Log     *slog.Logger

	mu     sync.Mutex
	target Target
	renew  chan struct{}
	status KeeperStatus
}

// KeeperStatus is how the relay stands.
type KeeperStatus struct {
	Target Target
	Open   bool      // a stream is open and in the helper's hands
	Since  time.Time // when that was
	Error  error     // why there is none; nil while the first attempt runs
}

// SetTarget names the pod to relay through. Another pod than before makes the Keeper open a new stream at once.
func (k *Keeper) SetTarget(target Target) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.target != target {
		k.target = target
		k.signal()
	}
}

// Renew makes the Keeper open a new stream at once, because the present one is dead or nobody knows.
func (k *Keeper) Renew() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.signal()
}

// Status returns how the relay stands.
func (k *Keeper) Status() KeeperStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

func (k *Keeper) signal() {
	select {
	case k.wake() <- struct{}{}:
	default:
	}
}

// wake returns the channel that interrupts a stream or a pause. k.mu is held.
func (k *Keeper) wake() chan struct{} {
	if k.renew == nil {
		k.renew = make(chan struct{}, 1)
	}
	return k.renew
}

// Run keeps the relay open until ctx is done.
func (k *Keeper) Run(ctx context.Context) {
	k.mu.Lock()
	renew := k.wake()
	k.mu.Unlock()
	var current *relay
	defer func() { current.stop() }()
	pause := firstRetry
	for {
		target := k.take(renew)
		if !target.Valid() {
			select {
			case <-ctx.Done():
				return
			case <-renew:
				continue
			}
		}
		// The stream before stays in use until the new one has taken its place: it may not be dead after all.
		next, err := k.open(ctx, target)
		if ctx.Err() != nil {
			next.stop()
			return
		}
		if err != nil {
			k.Log.Debug("relay not opened", "pod", target.Pod, "error", err)
			if !current.running() {
				k.report(KeeperStatus{Target: target, Error: err})
			}
			if !sleep(ctx, pause, renew) {
				return
			}
			pause = min(2*pause, longestRetry)
			continue
		}
		current.stop()
		current = next
		k.report(KeeperStatus{Target: target, Open: true, Since: time.Now()})
		select {
		case <-ctx.Done():
			return
		case <-renew:
			pause = firstRetry
		case <-current.done:
			k.report(KeeperStatus{Target: target, Error: current.err})
			k.Log.Debug("relay ended", "pod", target.Pod, "error", current.err)
			if time.Since(current.since) > longestRetry {
				pause = firstRetry
			}
			if !sleep(ctx, pause, renew) {
				return
			}
			pause = min(2*pause, longestRetry)
		}
	}
}

// take returns the target to open a stream to. What woke us before is answered by that.
func (k *Keeper) take(renew <-chan struct{}) Target {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-renew:
	default:
	}
	return k.target
}

func (k *Keeper) report(s KeeperStatus) {
	k.mu.Lock()
	k.status = s
	k.mu.Unlock()
	if k.Changed != nil {
		k.Changed(s)
	}
}

// open opens one stream, hands it over and starts to copy.
func (k *Keeper) open(ctx context.Context, target Target) (*relay, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	stream, err := k.Open(ctx, target)
	if err != nil {
		return nil, err
	}
	local, err := k.Hand(ctx)
	if err != nil {
		_ = stream.Close()
		return nil, err
	}
	return startRelay(local, stream), nil
}

// sleep waits for a while, or until woken; false says that ctx is done.
func sleep(ctx context.Context, pause time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
		return true
	case <-timer.C:
		return true
	}
}

// relay copies between the helper and a stream until either ends; then both are closed.
type relay struct {
	local  net.Conn
	stream io.ReadWriteCloser
	since  time.Time
	done   chan struct{} // closed after both directions have ended
	err    error         // valid after done
}

func startRelay(local net.Conn, stream io.ReadWriteCloser) *relay {
	r := &relay{local: local, stream: stream, since: time.Now(), done: make(chan struct{})}
	ended := make(chan error, 2)
	helper := sockets.Unwatched(local)
	go func() { ended <- copyBytes(stream, helper) }()
	go func() { ended <- copyBytes(helper, stream) }()
	go func() {
		r.err = <-ended
		_ = local.Close()
		_ = stream.Close()
		<-ended
		close(r.done)
	}()
	return r
}

// copyBytes copies until either side ends. It returns io.EOF where src ended in order.
func copyBytes(dst io.Writer, src io.Reader) error {
	// Both sides are hidden behind their plain interfaces: neither has a faster way, and a net.Conn's ReadFrom would
	// cut what we copy into small pieces.
	_, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, copyBuffer))
	if err == nil {
		err = io.EOF
	}
	return err
}

// running reports whether r exists and copies.
func (r *relay) running() bool {
	if r == nil {
		return false
	}
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}

// stop ends r, if it exists. It does not wait for the network, which may be gone.
func (r *relay) stop() {
	if r == nil {
		return
	}
	_ = r.local.Close()
	_ = r.stream.Close()
}
