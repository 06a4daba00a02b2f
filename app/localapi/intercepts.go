// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"

	"github.com/fairlead-dev/fairlead/backend/environment"
	"github.com/fairlead-dev/fairlead/backend/intercept"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// Intercept is what is true of one intercept.
type Intercept = session.Intercept

// InterceptRequest asks for an intercept in the connected cluster.
type InterceptRequest = intercept.Request

// InterceptsRequest asks who intercepts what: in one namespace, or in all.
type InterceptsRequest struct {
	Target
	AllNamespaces bool `json:"allNamespaces,omitempty"`
	Mine          bool `json:"mine,omitempty"` // of this user only
}

// Intercepts is who intercepts what, by namespace and name.
type Intercepts struct {
	Context    string      `json:"context"`
	Namespace  string      `json:"namespace,omitempty"` // empty for all namespaces
	Intercepts []Intercept `json:"intercepts"`
}

// LeaveRequest names intercepts to leave: by their own names, or those of workloads. Without a name it is the only one
// of this laptop.
type LeaveRequest struct {
	Target
	Names []string `json:"names,omitempty"`
	All   bool     `json:"all,omitempty"`   // all of this laptop; with Owner, all of theirs in the namespace
	Owner string   `json:"owner,omitempty"` // another user, for who has the right
}

// Left is what was left.
type Left struct {
	Left []LeftIntercept `json:"left"`
}

// LeftIntercept is an intercept that is no more.
type LeftIntercept struct {
	Name      string                    `json:"name"`
	Namespace string                    `json:"namespace"`
	User      string                    `json:"user"`
	Workload  session.InterceptWorkload `json:"workload"`
	Notes     []string                  `json:"notes,omitempty"`
}

// EnvironmentRequest asks for the environment variables of a workload's container.
type EnvironmentRequest struct {
	Target
	Workload  string `json:"workload"`
	Container string `json:"container,omitempty"` // empty is the main one
	// Secrets asks for the values of secrets, too; without it they are empty.
	Secrets bool `json:"secrets,omitempty"`
}

// Environment is what a container has.
type Environment struct {
	Context   string                    `json:"context"`
	Namespace string                    `json:"namespace"`
	Workload  session.InterceptWorkload `json:"workload"`
	environment.Environment
}

// Ended says that an intercept is no more, and why.
type Ended struct {
	Message string `json:"message"`
}

// Hold keeps an attached intercept until ctx is done, this program ends, or somebody leaves it. It calls each with the
// intercept on changes, and returns why it ended. It must be called once.
type Hold func(ctx context.Context, each func(Intercept)) (string, error)

// Intercept makes an intercept and returns when it is active; progress gets each step in words. hold is nil for one that
// is not attached. Cancelling ctx meanwhile leaves it; the answer says what came of that.
func (c *Client) Intercept(ctx context.Context, r InterceptRequest, progress func(string)) (made Intercept, hold Hold, err error) {
	named, abort := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), callName{}, rand.Text()))
	stop := c.cancelWith(ctx, named, abort)
	body, err := c.do(named, http.MethodPost, "/v1/intercept", r)
	if err != nil {
		stop()
		abort()
		return Intercept{}, nil, err
	}
	end := func() {
		abort()
		body.Close()
	}
	events := newEventReader(body)
	made, err = result[Intercept](named, events, progress)
	stop()
	if err != nil || !r.Attached {
		end()
		return made, nil, err
	}
	return made, func(ctx context.Context, each func(Intercept)) (string, error) {
		defer end()
		defer context.AfterFunc(ctx, abort)()
		for {
			e, err := events.next()
			if err != nil {
				return "", interrupted(named, err)
			}
			switch e.Name {
			case eventIntercept:
				var i Intercept
				if err := json.Unmarshal(e.Data, &i); err != nil {
					return "", undecodable(err)
				}
				each(i)
			case eventEnded:
				var ended Ended
				if err := json.Unmarshal(e.Data, &ended); err != nil {
					return "", undecodable(err)
				}
				return ended.Message, nil
			}
		}
	}, nil
}

// Intercepts says who intercepts what.
func (c *Client) Intercepts(ctx context.Context, r InterceptsRequest) (Intercepts, error) {
	return call[Intercepts](ctx, c, http.MethodPost, "/v1/intercepts", r)
}

// Leave leaves intercepts, and returns when everything is put back.
func (c *Client) Leave(ctx context.Context, r LeaveRequest) (Left, error) {
	return call[Left](ctx, c, http.MethodPost, "/v1/leave", r)
}

// Environment finds out the environment variables of a workload's container.
func (c *Client) Environment(ctx context.Context, r EnvironmentRequest) (Environment, error) {
	return call[Environment](ctx, c, http.MethodPost, "/v1/environment", r)
}

// serveIntercept serves the call that makes an intercept. An attached one ends with the request, whatever ends that: the
// caller may have been killed.
func serveIntercept(b Backend) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, err := decode[InterceptRequest](w, r)
		if err != nil {
			writeProblem(w, err)
			return
		}
		events := newEventWriter(w)
		defer events.close()
		made, err := b.Intercept(r.Context(), in, func(message string) { _ = events.send(eventProgress, Progress{Message: message}) })
		if err != nil {
			_ = events.send(eventError, problem.From(err))
			return
		}
		_ = events.send(eventResult, made)
		if !in.Attached {
			return
		}
		ended := b.Attend(r.Context(), made.ID, func(i Intercept) { _ = events.send(eventIntercept, i) })
		_ = events.send(eventEnded, Ended{Message: ended})
	})
}
