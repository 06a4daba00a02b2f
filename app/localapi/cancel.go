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

// maxCallName bounds the name of a call, in bytes.
const maxCallName = 128

// cancelledWithin bounds how long a Client waits for the answer to a call that it has cancelled. It covers putting
// everything back.
const cancelledWithin = 10 * time.Second

// CancelRequest names the call that is to be cancelled: as its header Fairlead-Call says, or the ID of Work.
type CancelRequest struct {
	Call string `json:"call"`
}

// Calls are those under way that can be cancelled by anybody who knows their names, whichever face began them. The zero
// value is ready. It is safe for concurrent use.
type Calls struct {
	mu    sync.Mutex
	named map[string]context.CancelFunc
}

// cancellable lets the calls that next serves be cancelled by their name. Those without one get one.
func (c *Calls) cancellable(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Header.Get(callHeader)
		if name == "" {
			name = rand.Text()
		}
		ctx, cancel := context.WithCancel(WithCall(r.Context(), name))
		defer cancel()
		if !c.add(name, cancel) {
			writeProblem(w, problem.New(problem.Usage, "Give each call a name of its own.", "a call %.40q is under way", name))
			return
		}
		defer c.remove(name)
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (c *Calls) add(name string, cancel context.CancelFunc) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, taken := c.named[name]; taken || len(name) > maxCallName {
		return false
	}
	if c.named == nil {
		c.named = map[string]context.CancelFunc{}
	}
	c.named[name] = cancel
	return true
}

func (c *Calls) remove(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.named, name)
}

// Cancel cancels a call; its own answer says what came of that.
func (c *Calls) Cancel(_ context.Context, r CancelRequest) (struct{}, error) {
	c.mu.Lock()
	cancel, ok := c.named[r.Call]
	c.mu.Unlock()
	if !ok {
		return struct{}{}, problem.New(problem.NotFound, "It may have ended already.", "no call %.40q is under way", r.Call)
	}
	cancel()
	return struct{}{}, nil
}

// servedCall is the key of the name of the call that is being served.
type servedCall struct{}

// WithCall returns a context for serving the call of that name.
func WithCall(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, servedCall{}, name)
}

// CallOf returns the name by which the call that ctx is for can be cancelled, or "" if it can't be.
func CallOf(ctx context.Context) string {
	name, _ := ctx.Value(servedCall{}).(string)
	return name
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
		if err := c.Cancel(limited, named.Value(callName{}).(string)); err != nil {
			abort() // a daemon that does not know the call learns it from the closed request
			return
		}
		<-limited.Done() // the answer has come, or has not in time
		abort()
	})
}

// Cancel ends a call of that name, or the Work of that ID.
func (c *Client) Cancel(ctx context.Context, name string) error {
	_, err := call[struct{}](ctx, c, http.MethodPost, "/v1/cancel", CancelRequest{Call: name})
	return err
}

// callName is the key of a call's name in a context.
type callName struct{}
