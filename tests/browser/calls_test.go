// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/diagnostics"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// step is how long the work of a fake takes, each step of it.
const step = 150 * time.Millisecond

var _ = extend(func(f *fake) {
	handle(f, "GET /v1/version", func(context.Context, struct{}) (localapi.Version, error) {
		return localapi.Version{Version: "0.1.0"}, nil
	})
	handle(f, "POST /v1/contexts", func(context.Context, localapi.Target) (localapi.Contexts, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return localapi.Contexts{Current: "dev", Contexts: f.contexts}, nil
	})
	handle(f, "POST /v1/contexts/check", check)
	handle(f, "POST /v1/namespaces", func(_ context.Context, t localapi.Target) (localapi.Namespaces, error) {
		if t.Context == "prod" {
			return localapi.Namespaces{}, problem.New(problem.Forbidden, "", "ada-readonly may not list namespaces")
		}
		return localapi.Namespaces{Namespaces: []string{"default", "fairlead", "kube-system", "payments", "shop"}}, nil
	})
	handle(f, "POST /v1/connect", f.connect)
	handle(f, "POST /v1/cancel", func(_ context.Context, r localapi.CancelRequest) (struct{}, error) {
		f.mu.Lock()
		cancel := f.running[r.Call]
		f.mu.Unlock()
		if cancel != nil {
			cancel()
		} else {
			f.change(func(s *localapi.Snapshot) { s.Session, s.Work = localapi.Status{State: session.Disconnected}, nil })
		}
		return struct{}{}, nil
	})
	handle(f, "POST /v1/disconnect", func(ctx context.Context, _ struct{}) (localapi.Status, error) {
		f.change(func(s *localapi.Snapshot) { s.Session.State = session.Disconnecting })
		_ = wait(ctx, step)
		f.change(func(s *localapi.Snapshot) { s.Session, s.Problems = localapi.Status{State: session.Disconnected}, nil })
		return localapi.Status{State: session.Disconnected}, nil
	})
	handle(f, "POST /v1/namespace", func(ctx context.Context, r localapi.NamespaceRequest) (localapi.Status, error) {
		if r.Namespace == "nowhere" {
			return localapi.Status{}, problem.New(problem.NamespaceNotFound, "Choose another one.", "the cluster has no namespace %q", r.Namespace)
		}
		_ = wait(ctx, step)
		f.change(func(s *localapi.Snapshot) { s.Session.Namespace = r.Namespace; s.Workloads++ })
		return localapi.Status{}, nil
	})
	handle(f, "POST /v1/gateway/plan", plan)
	install := func(ctx context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
		for _, message := range []string{"Making the namespace fairlead", "Making 14 objects", "Waiting for the gateway to be ready"} {
			progress(message)
			if err := wait(ctx, step); err != nil {
				return localapi.Gateway{}, err
			}
		}
		f.held(ctx)
		if r.Context == "unready" {
			return localapi.Gateway{}, problem.New(problem.GatewayNotReady, "See why: kubectl -n fairlead describe pod", "the gateway did not become ready: the image can't be pulled")
		}
		return localapi.Gateway{Context: r.Context, Namespace: "fairlead", Installed: true, Ready: true, Version: "0.1.0"}, nil
	}
	handleSteps(f, "POST /v1/gateway/install", install)
	handleSteps(f, "POST /v1/gateway/upgrade", install)
	handle(f, "POST /v1/doctor", f.doctor)
	handle(f, "POST /v1/bundle/plan", func(context.Context, localapi.Target) (localapi.BundlePlan, error) { return bundlePlan(), nil })
	f.mux.HandleFunc("POST /v1/bundle", func(w http.ResponseWriter, _ *http.Request) {
		var file bytes.Buffer
		archive := zip.NewWriter(&file)
		for _, one := range bundlePlan().Files {
			entry, err := archive.Create(one.Name)
			if err == nil {
				_, _ = entry.Write([]byte(one.Preview))
			}
		}
		_ = archive.Close()
		w.Header().Set("Content-Type", "application/zip")
		_, _ = w.Write(file.Bytes())
	})
	handle(f, "GET /v1/settings", func(context.Context, struct{}) (localapi.Settings, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.snapshot.Settings, nil
	})
	handle(f, "POST /v1/settings", func(_ context.Context, s localapi.Settings) (localapi.Settings, error) {
		for _, one := range slices.Concat(s.Include, s.Exclude) {
			_, badPrefix := netip.ParsePrefix(one)
			if _, badAddress := netip.ParseAddr(one); badPrefix != nil && badAddress != nil {
				return s, problem.New(problem.Usage, "Write a range as 10.0.0.0/8, or a single address.", "%q is not a range of addresses", one)
			}
		}
		for _, one := range s.Kubeconfigs {
			if strings.Contains(one, "missing") {
				return s, problem.New(problem.Usage, "Name a file that is there.", "there is no file %s", one)
			}
		}
		f.change(func(snapshot *localapi.Snapshot) { snapshot.Settings = s })
		return s, nil
	})
})

// check says how a cluster is, by its name.
func check(ctx context.Context, t localapi.Target) (localapi.ContextState, error) {
	state := localapi.ContextState{Context: t.Context, Reachable: true, Millis: 12.3, Version: "v1.33.2", User: "ada@example.com", Gateway: "ready", GatewayBy: "0.1.0", MayInstall: true}
	_ = wait(ctx, 20*time.Millisecond)
	switch t.Context {
	case "asleep":
		return localapi.ContextState{Context: t.Context, Problem: problem.New(problem.ClusterUnreachable, "Check that the cluster runs, and the server's address and port in the kubeconfig.", "asleep.k8s.example:6443 does not answer: connection refused")}, nil
	case "expired":
		return localapi.ContextState{Context: t.Context, Problem: problem.New(problem.Unauthorized, "Sign in again: aws sso login", "the cluster refuses the credentials of ada@corp: they expired 2 hours ago")}, nil
	case "staging":
		state.Gateway, state.GatewayBy, state.Millis = "missing", "", 4.8
	case "prod":
		state.Gateway, state.GatewayBy, state.MayInstall, state.Millis = "missing", "", false, 38
	case "old":
		state.Gateway, state.GatewayBy = "other-version", "0.0.9"
	case "unready":
		state.Gateway, state.Problem = "not-ready", problem.New(problem.GatewayNotReady, "See why: kubectl -n fairlead describe pod", "no pod of the gateway is ready: the image can't be pulled")
	}
	return state, nil
}

// connect does what the name of the context says.
func (f *fake) connect(ctx context.Context, r localapi.ConnectRequest) (localapi.Status, error) {
	f.change(func(s *localapi.Snapshot) {
		s.Session = localapi.Status{State: session.Connecting, Context: r.Context, Namespace: r.Namespace, Step: "asking the gateway for a place"}
	})
	fail := func(p *problem.Problem) (localapi.Status, error) {
		f.change(func(s *localapi.Snapshot) {
			s.Session = localapi.Status{State: session.Disconnected, Context: r.Context}
			if p.Code != problem.Cancelled {
				s.Session.Problem = p
			}
		})
		return localapi.Status{}, p
	}
	switch r.Context {
	case "old": // takes forever
		<-ctx.Done()
		return fail(problem.New(problem.Cancelled, "", "connecting was interrupted"))
	case "asleep":
		return fail(problem.New(problem.ClusterUnreachable, "Check that the cluster runs, and the server's address and port in the kubeconfig.", "asleep.k8s.example:6443 does not answer: connection refused"))
	case "staging":
		return fail(problem.New(problem.GatewayMissing, "Run: fairlead gateway install --context staging", "the cluster of context %q has no gateway", r.Context))
	}
	if err := wait(ctx, step); err != nil {
		return fail(problem.From(err))
	}
	status := connected(r.Context, cmp.Or(r.Namespace, "shop"))
	f.change(func(s *localapi.Snapshot) { s.Session = status })
	return status, nil
}

func plan(_ context.Context, r localapi.GatewayRequest) (localapi.GatewayPlan, error) {
	p := localapi.GatewayPlan{
		Context: r.Context, Namespace: "fairlead", Version: "0.1.0", Image: "ghcr.io/fairlead-dev/fairlead-agent:0.1.0",
		Objects: []localapi.PlannedObject{
			{Kind: "CustomResourceDefinition", Name: "connections.fairlead.dev", What: "create", Why: "who is connected"},
			{Kind: "CustomResourceDefinition", Name: "intercepts.fairlead.dev", What: "create", Why: "who intercepts what"},
			{Kind: "ClusterRole", Name: "fairlead-developer", What: "create", Why: "lets those who may edit use Fairlead"},
			{Kind: "ClusterRole", Name: "fairlead-gateway", What: "create", Why: "what the gateway may do"},
			{Kind: "ClusterRoleBinding", Name: "fairlead-gateway", What: "create"},
			{Kind: "MutatingWebhookConfiguration", Name: "fairlead", What: "create", Why: "new pods of intercepted workloads"},
			{Kind: "ValidatingAdmissionPolicy", Name: "fairlead-owner", What: "create", Why: "nobody acts in another's name"},
			{Kind: "Namespace", Name: "fairlead", What: "keep"},
			{Kind: "Deployment", Name: "fairlead-gateway", Namespace: "fairlead", What: "create", Why: "the gateway itself: one pod, no privilege"},
			{Kind: "Service", Name: "fairlead-gateway", Namespace: "fairlead", What: "create", Why: "where laptops reach it by UDP"},
			{Kind: "ServiceAccount", Name: "fairlead-gateway", Namespace: "fairlead", What: "create"},
			{Kind: "Secret", Name: "fairlead-webhook", Namespace: "fairlead", What: "create", Why: "the webhook's certificate"},
		},
	}
	if r.Context == "old" {
		for i := range p.Objects {
			p.Objects[i].What = "keep"
		}
		p.Objects[8].What, p.Objects[1].What = "change", "change"
	}
	if r.Context == "prod" {
		hint := "Who may change cluster roles can grant it, such as: kubectl create clusterrolebinding ada-fairlead --clusterrole=cluster-admin --user=ada"
		p.Missing = []localapi.MissingRight{
			{Verb: "create", Resource: "customresourcedefinitions.apiextensions.k8s.io", Hint: hint},
			{Verb: "create", Resource: "clusterroles.rbac.authorization.k8s.io", Hint: hint},
			{Verb: "create", Resource: "deployments.apps", Namespace: "fairlead", Hint: "Who runs the namespace fairlead can grant it."},
		}
	}
	return p, nil
}

func (f *fake) doctor(ctx context.Context, _ localapi.Target) (localapi.Report, error) {
	_ = wait(ctx, 2*step)
	f.mu.Lock()
	good := f.snapshot.Session.State == session.Connected
	f.mu.Unlock()
	checks := []localapi.Check{
		{Name: "helper", Title: "Helper service", Status: diagnostics.OK, Message: "The helper runs, and is of version 0.1.0."},
		{Name: "helper-access", Title: "Right to use the helper", Status: diagnostics.OK, Message: "ada is in the group fairlead."},
		{Name: "kubeconfig", Title: "Kubeconfig", Status: diagnostics.OK, Message: "/home/ada/.kube/config has 8 contexts; dev is the current one."},
		{Name: "cluster", Title: "Cluster and credentials", Status: diagnostics.OK, Message: "https://dev.k8s.example:6443 answers in 12 ms, and knows ada@example.com."},
		{Name: "gateway", Title: "Gateway in the cluster", Status: diagnostics.OK, Message: "fairlead/fairlead-gateway is ready."},
		{Name: "carrier", Title: "Way to the gateway", Status: diagnostics.OK, Message: "UDP to 192.0.2.7:51820 answers in 1.8 ms."},
		{Name: "dns", Title: "Names", Status: diagnostics.OK, Message: "kubernetes.default.svc.cluster.local resolves."},
	}
	if good {
		return localapi.Report{OK: true, Checks: checks}, nil
	}
	checks[1].Status, checks[1].Message, checks[1].Hint = diagnostics.Fail, "ada is not in the group fairlead, whose members the helper serves.", "Run: sudo usermod -aG fairlead ada"
	checks[4].Status, checks[4].Message, checks[4].Hint = diagnostics.Warn, "The gateway is of version 0.0.9, and Fairlead of 0.1.0.", "Run: fairlead gateway upgrade"
	for i := 5; i < 7; i++ {
		checks[i].Status, checks[i].Message = diagnostics.Skip, "Not looked at, since there is no connection."
	}
	return localapi.Report{Checks: checks}, nil
}

func bundlePlan() localapi.BundlePlan {
	file := func(name, what, preview string) localapi.BundleFile {
		return localapi.BundleFile{Name: name, What: what, Bytes: len(preview) * 40, Preview: preview}
	}
	return localapi.BundlePlan{Name: "fairlead-support-2026-01-02.zip", Files: []localapi.BundleFile{
		file("doctor.json", "what the doctor found", `{"ok": true, "checks": [{"name": "helper", "status": "ok"}]}`),
		file("daemon.log", "the last 2,000 lines of the daemon's log, without tokens and header values", "time=2026-01-02T15:04:05Z level=INFO msg=connected context=dev\ntime=2026-01-02T15:04:09Z level=INFO msg=\"carrier\" active=udp\n"),
		file("status.json", "the connection as it is, with the names of intercepts and without their keys", `{"state": "connected", "context": "dev", "carrier": {"active": "udp"}}`),
		file("kubeconfig.txt", "names of contexts and servers; no credentials", "dev: https://dev.k8s.example:6443\nstaging: https://staging.k8s.example:6443\n"),
		file("routes.txt", "routes and resolvers of this laptop", strings.Repeat(fmt.Sprintln("10.96.0.0/16 dev fairlead0"), 3)),
	}}
}
