// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/environment"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

func TestWorkloads(t *testing.T) {
	runScript(t, "workloads.mjs", newFake().serve(t), nil)
}

func TestIntercepts(t *testing.T) {
	runScript(t, "intercepts.mjs", newFake().serve(t), nil)
}

// traffic is what a fake shows of workloads, programs, intercepts and requests.
type traffic struct {
	*fake

	mu         sync.Mutex
	workloads  []localapi.Workload
	onlyIn     string        // the namespace that may be listed; empty is all
	held       chan struct{} // lists of workloads wait for it, unless it is nil
	programs   []localapi.Program
	records    []localapi.Record
	dropped    uint64
	changed    chan struct{} // closed with each new record
	mayNot     bool          // others' intercepts may not be ended
	noTerminal bool
}

var _ = extend(func(f *fake) {
	t := &traffic{fake: f, changed: make(chan struct{})}
	t.addScenes()
	handle(f, "POST /v1/workloads", t.list)
	handle(f, "POST /v1/intercept/preview", t.preview)
	handle(f, "GET /v1/programs", func(context.Context, struct{}) (localapi.Programs, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		return localapi.Programs{Programs: t.programs}, nil
	})
	handleSteps(f, "POST /v1/intercept", t.intercept)
	handle(f, "POST /v1/leave", t.leave)
	handle(f, "POST /v1/environment", t.environment)
	handle(f, "POST /v1/environment/file", func(ctx context.Context, r localapi.EnvironmentFileRequest) (localapi.EnvironmentFile, error) {
		found, err := t.environment(ctx, r.EnvironmentRequest)
		if err != nil {
			return localapi.EnvironmentFile{}, err
		}
		format, err := environment.ParseFormat(r.Format)
		if err != nil {
			return localapi.EnvironmentFile{}, err
		}
		variables := slices.DeleteFunc(found.Variables, func(v environment.Variable) bool { return v.Secret && !r.Secrets })
		text, _, err := environment.Render(format, variables)
		return localapi.EnvironmentFile{Name: "cart-api." + string(format), Text: string(text)}, err
	})
	handle(f, "POST /v1/terminal", func(context.Context, localapi.TerminalRequest) (struct{}, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.noTerminal {
			return struct{}{}, problem.New(problem.NotFound, "Name one in the settings.", "no terminal program was found on this laptop")
		}
		return struct{}{}, nil
	})
	f.mux.HandleFunc("GET /v1/requests/watch", t.watchRequests)
})

func (t *traffic) list(ctx context.Context, r localapi.WorkloadsRequest) (localapi.Workloads, error) {
	t.mu.Lock()
	all, held := t.workloads, t.held
	onlyIn := t.onlyIn
	t.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
		}
	}
	if onlyIn != "" && r.Namespace != onlyIn {
		return localapi.Workloads{}, problem.New(problem.Forbidden, "Who runs the cluster can grant it.", "ada@example.com may not list deployments.apps in %s", cmp.Or(r.Namespace, "all namespaces"))
	}
	if !r.AllNamespaces {
		all = slices.DeleteFunc(slices.Clone(all), func(w localapi.Workload) bool { return w.Namespace != r.Namespace })
	}
	return localapi.Workloads{Context: "dev", Namespace: r.Namespace, Workloads: all}, nil
}

// preview says what the name of the workload makes it say.
func (t *traffic) preview(_ context.Context, r localapi.InterceptRequest) (localapi.InterceptPreview, error) {
	_, name, _ := strings.Cut(r.Workload, "/")
	name = cmp.Or(name, r.Workload)
	if name == "nowhere" {
		return localapi.InterceptPreview{}, problem.New(problem.NotFound, "'fairlead list' shows what there is.", "the namespace %s has no workload %q", r.Namespace, name)
	}
	p := localapi.InterceptPreview{
		Workload: localapi.InterceptedWorkload{
			Namespace: cmp.Or(r.Namespace, "shop"), Kind: "Deployment", Name: name, Pods: 3, Containers: []string{"app", "log-shipper"},
			Ports: []localapi.WorkloadPort{
				{Name: "metrics", Port: 9090, Protocol: "TCP", Container: "app", Busy: "ben@example.com intercepts all of it"},
				{Name: "https", Port: 8443, Protocol: "TCP", Container: "app", Service: name + ":443", TLS: true},
				{Name: "http", Port: 8080, Protocol: "TCP", Container: "app", Service: name + ":80"},
				{Name: "dns", Port: 5353, Protocol: "UDP", Container: "app"},
			},
		},
	}
	if name == "bare" {
		p.Workload.Ports = nil
	}
	if len(r.Ports) == 0 {
		p.Problem = problem.New(problem.Usage, "Name one with --port.", "%s has several ports", name)
		return p, nil
	}
	local, remote, _ := strings.Cut(r.Ports[0], ":")
	local = cmp.Or(local, remote)
	if remote == "9090" {
		p.Problem = problem.New(problem.InterceptRefused, "Ask ben@example.com to leave it, or choose another port.", "ben@example.com intercepts all traffic of port 9090 of %s, since 10:12", name)
		return p, nil
	}
	host := fmt.Sprintf("http://%s.%s/", name, p.Workload.Namespace)
	if r.All {
		p.Curl, p.Share = "curl "+host, "All traffic of "+name+" goes to ada's laptop."
		p.Touches = []string{"Every request to port " + remote + " of deployment/" + name + " comes to 127.0.0.1:" + local + " on this laptop, whoever makes it."}
	} else {
		if p.Key = r.Key; p.Key == "" && r.Path == "" && len(r.Headers) == 0 {
			p.Key = "ada-7f3c"
		}
		p.Header, p.Baggage = "x-fairlead: "+p.Key, "baggage: fairlead="+p.Key
		p.Curl = "curl -H 'x-fairlead: " + p.Key + "' " + host
		p.Touches = []string{
			"Requests to port " + remote + " of deployment/" + name + " with the header x-fairlead: " + p.Key + " come to 127.0.0.1:" + local + " on this laptop.",
			"So do those with fairlead=" + p.Key + " in the header baggage, which tracing libraries pass on from service to service.",
		}
	}
	p.Touches = append(p.Touches, "Its 3 pods go on running: nothing restarts.", "Connections that are open stay with the app until they are idle.", "It ends when you leave it or disconnect, and after 24 hours.")
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.ContainsFunc(t.programs, func(p localapi.Program) bool { return fmt.Sprint(p.Port) == local }) {
		p.Warnings = append(p.Warnings, "Nothing listens on 127.0.0.1:"+local+" yet; until a program does, the app in the cluster gets these requests.")
	}
	return p, nil
}

// intercept does what the name of the workload says.
func (t *traffic) intercept(ctx context.Context, r localapi.InterceptRequest, progress func(string)) (localapi.Intercept, error) {
	_, name, _ := strings.Cut(r.Workload, "/")
	for _, message := range []string{"Looking at deployment/" + name, "Making the intercept", "Waiting for 3 pods: 1 has confirmed"} {
		progress(message)
		pause := step
		if name == "slow" {
			pause = time.Minute
		}
		if err := wait(ctx, pause); err != nil {
			return localapi.Intercept{}, problem.New(problem.Cancelled, "", "cancelled")
		}
	}
	if name == "failing" {
		return localapi.Intercept{}, problem.New(problem.InterceptPending, "See why: kubectl -n shop describe pod", "1 of 3 pods of deployment/failing has not confirmed within 30 s; the intercept was taken back")
	}
	made := intercepted("new", r.Namespace, name, r.Key)
	made.Mine, made.Ports[0].Local = true, "127.0.0.1:"+strings.SplitN(r.Ports[0], ":", 2)[0]
	t.change(func(s *localapi.Snapshot) {
		s.Session.Intercepts = append(s.Session.Intercepts, made)
		s.Everyone = append(s.Everyone, made)
	})
	return made, nil
}

func (t *traffic) leave(ctx context.Context, r localapi.LeaveRequest) (localapi.Left, error) {
	t.mu.Lock()
	mayNot := t.mayNot
	t.mu.Unlock()
	_ = wait(ctx, 4*step)
	if r.Owner != "" && mayNot {
		return localapi.Left{}, problem.New(problem.Forbidden, "Ask them, or somebody who may change the gateway.", "you may not end an intercept of %s", r.Owner)
	}
	var left localapi.Left
	named := func(i localapi.Intercept) bool {
		return i.Namespace == r.Namespace && slices.Contains(r.Names, i.Name) && (i.Mine || i.User == r.Owner)
	}
	t.change(func(s *localapi.Snapshot) {
		for _, i := range s.Everyone {
			if named(i) {
				left.Left = append(left.Left, localapi.LeftIntercept{Name: i.Name, Namespace: i.Namespace, User: i.User, Workload: i.Workload,
					Notes: []string{"the record of the ephemeral container stays in 3 pods until they are replaced"}})
			}
		}
		s.Everyone = slices.DeleteFunc(slices.Clone(s.Everyone), named)
		s.Session.Intercepts = slices.DeleteFunc(slices.Clone(s.Session.Intercepts), named)
	})
	if len(left.Left) == 0 {
		return left, problem.New(problem.NotFound, "", "there is no such intercept")
	}
	return left, nil
}

func (t *traffic) environment(_ context.Context, r localapi.EnvironmentRequest) (localapi.Environment, error) {
	secret := func(name, value string) environment.Variable {
		if !r.Secrets {
			value = ""
		}
		return environment.Variable{Name: name, Value: value, Source: "secret cart-db", Secret: true}
	}
	return localapi.Environment{
		Context: "dev", Namespace: cmp.Or(r.Namespace, "shop"), Workload: session.InterceptWorkload{Kind: "Deployment", Name: "cart-api"},
		Environment: environment.Environment{
			Container: cmp.Or(r.Container, "app"), Pod: "cart-api-7d9f5c6b8-x2x8v",
			Variables: []environment.Variable{
				secret("DB_PASSWORD", "correct horse battery staple"),
				{Name: "FEATURES", Value: "vouchers,express,gift-wrapping,subscriptions,loyalty", Source: "configmap cart-config"},
				{Name: "PORT", Value: "8080", Source: "spec"},
				{Name: "REDIS_URL", Value: "redis://cart-cache.shop:6379/0", Source: "configmap cart-config"},
			},
			Missing: []environment.Missing{{Name: "TLS_KEY", Source: "secret cart-tls", Why: "you may not read secrets named cart-tls"}},
		},
	}, nil
}

// watchRequests sends what is kept, then what is new.
func (t *traffic) watchRequests(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	of := r.URL.Query().Get("intercept")
	sent := 0
	for {
		t.mu.Lock()
		if sent > len(t.records) { // another scene
			sent = 0
		}
		all := localapi.Records{Records: []localapi.Record{}, Dropped: t.dropped}
		for _, record := range t.records[sent:] {
			if record.Intercept == of || of == "" {
				all.Records = append(all.Records, record)
			}
		}
		sent, t.dropped = len(t.records), 0
		changed := t.changed
		t.mu.Unlock()
		data, err := json.Marshal(all)
		if err != nil || event(w, "records", data) != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// tellOf adds records for whoever watches.
func (t *traffic) tellOf(records ...localapi.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.records = append(t.records, records...)
	close(t.changed)
	t.changed = make(chan struct{})
}
