// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

// ErrHandedOver says that another window of this user is there, and has taken the arguments.
var ErrHandedOver = errors.New("a window of Fairlead is open already")

const (
	handOverWithin = 2 * time.Second       // for the first window to answer
	claimWithin    = 10 * time.Second      // for a window that is ending to be gone
	claimRetry     = 20 * time.Millisecond // between tries meanwhile
	maxArguments   = maxLink + 1024        // bytes of JSON
)

// Instance is the one window of this user. It gets the arguments of later starts.
type Instance struct {
	listener net.Listener
	release  func()
	starts   chan Arguments
}

// ClaimInstance makes this process the one window of socket. Where there is one already it hands the arguments over and
// returns ErrHandedOver.
func ClaimInstance(ctx context.Context, socket string, a Arguments) (*Instance, error) {
	deadline := time.Now().Add(claimWithin)
	for {
		listener, release, held, err := holdInstance(socket)
		switch {
		case err != nil:
			return nil, fmt.Errorf("become the one window: %w", err)
		case !held:
			i := &Instance{listener: listener, release: release, starts: make(chan Arguments)}
			go i.serve()
			return i, nil
		case handOver(ctx, socket, a) == nil:
			return nil, ErrHandedOver
		case time.Now().After(deadline):
			return nil, fmt.Errorf("become the one window: the process that holds %s does not answer; end it", socket)
		}
		select {
		case <-time.After(claimRetry):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Starts delivers the arguments of later starts, until Close.
func (i *Instance) Starts() <-chan Arguments { return i.starts }

// Close lets another process be the window.
func (i *Instance) Close() {
	i.listener.Close()
	i.release()
}

func (i *Instance) serve() {
	defer close(i.starts)
	for {
		conn, err := i.listener.Accept()
		if err != nil {
			return
		}
		if a, err := receive(conn); err == nil {
			i.starts <- a
		}
		conn.Close()
	}
}

// receive reads the arguments of a later start, and says that they have come.
func receive(conn net.Conn) (Arguments, error) {
	var a Arguments
	if err := conn.SetDeadline(time.Now().Add(handOverWithin)); err != nil {
		return a, fmt.Errorf("limit the wait: %w", err)
	}
	decoder := json.NewDecoder(io.LimitReader(conn, maxArguments))
	if err := decoder.Decode(&a); err != nil {
		return a, fmt.Errorf("read arguments: %w", err)
	}
	_, err := io.WriteString(conn, "ok\n")
	return a, err
}

// handOver gives the arguments to the window that is there.
func handOver(ctx context.Context, socket string, a Arguments) error {
	ctx, cancel := context.WithTimeout(ctx, handOverWithin)
	defer cancel()
	conn, err := localapi.Dial(ctx, socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(handOverWithin)); err != nil {
		return err
	}
	if err := json.NewEncoder(conn).Encode(a); err != nil {
		return err
	}
	answer := make([]byte, 3)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	return nil
}
