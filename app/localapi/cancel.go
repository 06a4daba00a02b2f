// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// callHeader names a call, so that it can be cancelled without losing its answer, as it would be by closing the request.
const callHeader = "Fairlead-Call"

// cancelledWithin bounds how long a Client waits for the answer to a call that it has cancelled. It covers putting
// everything back.
const cancelledWithin = 10 * time.Second

// CancelRequest names the call that is to be cancelled.
type CancelRequest struct {
	Call string `json:"call"` // what the call's header Fairlead-Call says
}

// calls are those under way that have a name.
type calls struct {
	mu      sync.Mutex
	cancels map[string]context.CancelFunc
}

// cancellable lets the calls that next serves be cancelled by their name.
func (c *calls) cancellable(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Header.Get(callHeader)
		if name == "" {
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		c.mu.Lock()
		c.cancels[name] = cancel
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.cancels, name)
		}()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// cancel cancels a call; its own answer says what came of that.
func (c *calls) cancel(_ context.Context, r CancelRequest) (struct{}, error) {
	c.mu.Lock()
	cancel, ok := c.cancels[r.Call]
	c.mu.Unlock()
	if !ok {
		return struct{}{}, problem.New(problem.NotFound, "It may have ended already.", "no call %q is under way", r.Call)
	}
	cancel()
	return struct{}{}, nil
}

// callToTheEnd makes a request that cancelling ctx cancels in the daemon, and returns what the daemon makes of that: its
// answer says what was put back.
func callToTheEnd[Out any](ctx context.Context, c *Client, path string, in any) (Out, error) {
	named, abort := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), callName{}, rand.Text()))
	defer abort()
	defer c.cancelWith(ctx, named, abort)()
	out, err := call[Out](named, c, http.MethodPost, path, in)
	if named.Err() != nil {
		return out, problem.New(problem.Cancelled, "'fairlead status' says where it stands.", "cancelled; the daemon has not said yet that everything is put back")
	}
	return out, err
}

// cancelWith cancels the call that named names when ctx is done, and aborts it where that has no answer in time. stop
// ends that.
func (c *Client) cancelWith(ctx, named context.Context, abort context.CancelFunc) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		limited, cancel := context.WithTimeout(named, cancelledWithin)
		defer cancel()
		request := CancelRequest{Call: named.Value(callName{}).(string)}
		if _, err := call[struct{}](limited, c, http.MethodPost, "/v1/cancel", request); err != nil {
			abort() // a daemon that does not know the call learns it from the closed request
			return
		}
		<-limited.Done() // the answer has come, or has not in time
		abort()
	})
}

// callName is the key of a call's name in a context.
type callName struct{}
