// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// checkWithin is how long a look at a cluster may take before it is said not to answer.
const checkWithin = 4 * time.Second

// States of a gateway, as ContextState has them.
const (
	gatewayReady        = "ready"
	gatewayNotReady     = "not-ready"
	gatewayMissing      = "missing"
	gatewayOtherVersion = "other-version"
	gatewayUnknown      = "unknown"
)

// checks are the looks at clusters that are under way. There is one at a time for each context: a credential plugin may ask
// its user to log in, and must not do so twice. The zero value is ready.
type checks struct {
	mu       sync.Mutex
	underWay map[string]*check
}

// check is one look at a cluster.
type check struct {
	done  chan struct{}
	state localapi.ContextState
}

// do looks, or waits for the look that is under way, but not longer than within. A look that takes longer goes on.
func (c *checks) do(ctx context.Context, key string, within time.Duration, look func() localapi.ContextState) (localapi.ContextState, bool) {
	c.mu.Lock()
	running := c.underWay[key]
	if running == nil {
		running = &check{done: make(chan struct{})}
		if c.underWay == nil {
			c.underWay = map[string]*check{}
		}
		c.underWay[key] = running
		go func() {
			running.state = look()
			c.mu.Lock()
			delete(c.underWay, key)
			c.mu.Unlock()
			close(running.done)
		}()
	}
	c.mu.Unlock()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-running.done:
		return running.state, true
	case <-timer.C:
	case <-ctx.Done():
	}
	return localapi.ContextState{}, false
}

// ContextState says how a cluster is, as seen from here.
func (o *operations) ContextState(ctx context.Context, t localapi.Target) (localapi.ContextState, error) {
	t = targetWithSettings(t, o.Settings())
	access, err := open(t)
	if err != nil {
		return localapi.ContextState{Context: t.Context, Problem: problem.From(err)}, nil
	}
	gatewayNamespace := cmp.Or(t.GatewayNamespace, session.DefaultGatewayNamespace)
	key := strings.Join([]string{access.Context(), access.Server(), access.Credentials(), gatewayNamespace}, "\x00")
	state, ok := o.checks.do(ctx, key, checkWithin, func() localapi.ContextState {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkWithin)
		defer cancel()
		defer access.Close()
		reach, err := access.Reach(limited, gatewayNamespace)
		return describeReach(access.Context(), o.version, gatewayNamespace, reach, err)
	})
	if ctx.Err() != nil {
		return state, ctx.Err()
	}
	if !ok {
		state = localapi.ContextState{
			Context: access.Context(), Gateway: gatewayUnknown,
			Problem: problem.New(problem.ClusterUnreachable, "A VPN may be needed, or a log-in: 'kubectl --context "+access.Context()+" get namespaces' shows what it waits for.",
				"the cluster at %s does not answer within %d seconds", access.Server(), int(checkWithin.Seconds())),
		}
	}
	return state, nil
}

// describeReach puts what was seen of a cluster into the words of the local API.
func describeReach(name, version, gatewayNamespace string, r cluster.Reach, err error) localapi.ContextState {
	state := localapi.ContextState{Context: name, User: r.User, Version: r.Version, Gateway: gatewayUnknown}
	if err != nil && r.User == "" {
		state.Problem = problem.From(err)
		if errors.Is(err, context.DeadlineExceeded) {
			state.Problem = problem.Wrap(err, problem.ClusterUnreachable, "A VPN may be needed. 'kubectl --context "+name+" get namespaces' meets the same.", "the cluster does not answer")
		}
		return state
	}
	state.Reachable, state.MayInstall = true, r.MayInstall
	state.Millis = float64(r.Answer.Microseconds()) / 1000
	state.Gateway, state.GatewayBy, state.Problem = gatewayState(version, gatewayNamespace, r)
	return state
}

// gatewayState says how the gateway is: in a word, its version where that is known, and what is wrong.
func gatewayState(version, namespace string, r cluster.Reach) (state, its string, p *problem.Problem) {
	for _, pod := range r.Pods {
		if label := pod.Labels[cluster.VersionLabel]; label != "" && (its == "" || pod.Labels[cluster.ActiveLabel] == "true") {
			its = label
		}
	}
	if !r.APIs || !r.PodsHidden && len(r.Pods) == 0 {
		return gatewayMissing, "", nil
	}
	if r.PodsHidden {
		return gatewayUnknown, "", nil
	}
	if its != "" {
		if err := session.CheckGatewayVersion(version, its); err != nil {
			return gatewayOtherVersion, its, problem.From(err)
		}
	}
	p = problem.New(problem.GatewayNotReady, "See: kubectl get pods --namespace "+namespace+".", "the gateway in namespace %q is not ready", namespace)
	for _, pod := range r.Pods {
		now := cluster.PodState(pod)
		if now == cluster.PodReady {
			return gatewayReady, its, nil
		}
		p.Details = append(p.Details, "pod "+pod.Name+": "+now)
	}
	return gatewayNotReady, its, p
}
