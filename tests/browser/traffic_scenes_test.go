// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// addScenes adds the scenes of workloads, intercepts and requests. Each but those that add to another begins with a
// connection, the programs of the laptop, and nothing intercepted.
func (t *traffic) addScenes() {
	begin := func(name string, more func(f *fake)) {
		t.scenes[name] = func(f *fake) {
			t.mu.Lock()
			if t.held != nil {
				close(t.held)
			}
			t.workloads, t.onlyIn, t.held, t.programs, t.records, t.dropped, t.mayNot, t.noTerminal = thousands(), "", nil, listening(), nil, 0, false, false
			t.mu.Unlock()
			f.snapshot.Session = connected("dev", "shop")
			more(f)
		}
	}
	intercepted := func(f *fake) {
		f.snapshot.Session.Intercepts = mine()
		f.snapshot.Everyone = append(mine(), others()...)
	}
	begin("workloads", intercepted)
	begin("intercept-ended", func(f *fake) {
		f.snapshot.Session.Intercepts = mine()
		ended := &f.snapshot.Session.Intercepts[0]
		ended.Phase, ended.Message, ended.Notes = session.InterceptEnded, "it was deleted", nil
		f.snapshot.Everyone = others()
	})
	begin("workloads-waiting", func(*fake) { t.held = make(chan struct{}) })
	begin("workloads-none", func(*fake) { t.workloads = nil })
	begin("workloads-one-namespace", func(*fake) { t.onlyIn = "shop" })
	begin("workloads-forbidden", func(*fake) { t.onlyIn = "elsewhere" })
	begin("workloads-fail", func(f *fake) {
		f.refuse["/v1/workloads"] = problem.New(problem.ClusterUnreachable, "Check the network of this laptop.", "dev.k8s.example:6443 does not answer: connection timed out")
	})
	t.scenes["workloads-fail-later"] = func(f *fake) {
		f.refuse["/v1/workloads"] = problem.New(problem.ClusterUnreachable, "Check the network of this laptop.", "dev.k8s.example:6443 does not answer: connection timed out")
		f.snapshot.Workloads++
	}
	t.scenes["workloads-more"] = func(f *fake) {
		t.mu.Lock()
		delete(f.refuse, "/v1/workloads")
		t.workloads = append(slices.Clone(t.workloads), localapi.Workload{Namespace: "shop", Kind: "Deployment", Name: "aardvark", State: cluster.WorkloadReady, Ready: 1, Desired: 1})
		t.mu.Unlock()
		f.snapshot.Workloads++
	}
	t.scenes["workloads-lost"] = func(f *fake) { f.snapshot.Session.State = session.Reconnecting }
	t.scenes["a-program"] = func(*fake) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.programs = append(slices.Clone(t.programs), localapi.Program{Port: 4100, Protocol: "TCP", Address: "127.0.0.1", PID: 900, Name: "dlv", Command: "dlv debug ./cmd/api", Folder: "/home/ada/src/shop/orders"})
	}
	t.scenes["no-terminal"] = func(*fake) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.noTerminal = true
	}
	begin("intercepts", func(f *fake) {
		intercepted(f)
		t.records = requests(1, 60)
	})
	begin("intercepts-none", func(*fake) {})
	begin("intercepts-others", func(f *fake) { f.snapshot.Everyone = others() })
	t.scenes["may-not"] = func(*fake) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.mayNot = true
	}
	begin("no-requests", intercepted)
	t.scenes["request"] = func(*fake) { t.tellOf(requests(t.next(), 1)...) }
	t.scenes["requests"] = func(*fake) {
		t.mu.Lock()
		t.dropped = 240
		t.mu.Unlock()
		t.tellOf(requests(t.next(), 25)...)
	}
	t.scenes["request-ends"] = func(*fake) { // the WebSocket among the first
		t.mu.Lock()
		ended := t.records[slices.IndexFunc(t.records, func(r localapi.Record) bool { return r.Open })]
		t.mu.Unlock()
		ended.Open, ended.Millis = false, 754_000
		t.tellOf(ended)
	}
}

// next is the number of the next record.
func (t *traffic) next() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var last uint64
	for _, r := range t.records {
		last = max(last, r.Number)
	}
	return last + 1
}

// thousands are 5,000 workloads, as a large company has them.
func thousands() []localapi.Workload {
	subjects := []string{"cart", "checkout", "catalog", "payments", "orders", "search", "inventory", "shipping", "pricing", "reviews", "profile", "session", "mailer", "ledger", "accounts", "thumbnails", "recommendations", "webhooks", "audit", "billing"}
	parts := []string{"", "-api", "-worker", "-web", "-cache", "-db", "-cron", "-consumer", "-agent", "-v2"}
	namespaces := []string{"shop", "crm", "data", "edge", "growth", "identity", "kube-system", "logistics", "media", "ml", "mobile", "observability", "partners", "payments", "platform", "qa", "sandbox", "search", "staging", "support", "team-blue", "team-green", "team-red", "web", "fairlead"}
	all := make([]localapi.Workload, 0, 5000)
	for _, namespace := range namespaces {
		for _, part := range parts {
			for _, subject := range subjects {
				all = append(all, workload(len(all), namespace, subject+part, part))
			}
		}
	}
	return all
}

func workload(n int, namespace, name, part string) localapi.Workload {
	w := localapi.Workload{Namespace: namespace, Kind: "Deployment", Name: name, State: cluster.WorkloadReady, Ready: int32(1 + n%3), Desired: int32(1 + n%3)}
	switch part {
	case "-db":
		w.Kind = "StatefulSet"
	case "-agent":
		w.Kind = "DaemonSet"
	}
	if part != "-worker" && part != "-cron" {
		w.Ports = []cluster.Port{{Name: "http", Port: 8080, Protocol: "TCP", Container: "app"}}
		w.Services = []string{name}
		if n%4 == 0 {
			w.Ports = append(w.Ports, cluster.Port{Name: "metrics", Port: 9090, Protocol: "TCP", Container: "app"})
		}
		if n%7 == 3 {
			w.Services = []string{name, name + "-headless"}
		}
	}
	switch n % 47 {
	case 4:
		w.State, w.Ready, w.Message = cluster.WorkloadFailing, 0, "ImagePullBackOff: registry.example.com/shop/"+name+":1.4.2 is not there"
	case 11:
		w.State, w.Ready, w.Message = cluster.WorkloadProgressing, w.Desired-1, fmt.Sprintf("%d of %d pods are new", w.Desired-1, w.Desired)
	case 17:
		w.State, w.Ready, w.Desired = cluster.WorkloadIdle, 0, 0
	}
	return w
}

func listening() []localapi.Program {
	return []localapi.Program{
		{Port: 22, Protocol: "TCP", Address: "0.0.0.0"},
		{Port: 3000, Protocol: "TCP", Address: "127.0.0.1", PID: 4211, Name: "node", Command: "node server.js --inspect", Folder: "/home/ada/src/shop/cart-api"},
		{Port: 5173, Protocol: "TCP", Address: "::1", PID: 4300, Name: "vite", Command: "vite", Folder: "/home/ada/src/shop/web"},
		{Port: 5432, Protocol: "TCP", Address: "127.0.0.1", Name: "postgres"},
		{Port: 8080, Protocol: "TCP", Address: "0.0.0.0", PID: 7, Name: "java", Command: "java -jar pricing.jar", Folder: "/home/ada/src/pricing"},
	}
}

// intercepted is an active intercept of ada's; without a key, of all traffic.
func intercepted(id, namespace, name, key string) localapi.Intercept {
	created, expires := time.Now().Add(-78*time.Minute), time.Now().Add(6*time.Hour+48*time.Minute)
	i := localapi.Intercept{
		Name: name + "-" + cmp.Or(key, "all"), Namespace: namespace, ID: id, User: "ada@example.com",
		Workload: session.InterceptWorkload{Kind: "Deployment", Name: name}, Phase: "Active",
		Ports: []session.InterceptedPort{{Port: 8080, Protocol: "TCP", Local: "127.0.0.1:3000", Listening: true}}, All: key == "", Key: key,
		Curl: "curl http://" + name + "." + namespace + "/", Share: "All traffic of " + name + " goes to ada's laptop.",
		Redirect: "Instant", RedirectReason: "the nodes can redirect sockets, and the namespace allows it",
		PodsReady: 3, PodsCovered: 3,
		Pods: []session.InterceptPod{
			{Name: name + "-7d9f5c6b8-k4p2m", Covered: true, Bypassing: 2}, {Name: name + "-7d9f5c6b8-x2x8v", Covered: true}, {Name: name + "-7d9f5c6b8-zz91q", Covered: true},
		},
		Counts:  session.InterceptCounts{Matched: 128, Passed: 48_211, FallenBack: 3},
		Created: &created, Since: &created, Expires: &expires,
	}
	if key != "" {
		i.Header, i.Baggage = "x-fairlead: "+key, "baggage: fairlead="+key
		i.Curl = "curl -H 'x-fairlead: " + key + "' http://" + name + "." + namespace + "/"
		i.Share = "Requests to " + name + " with this header go to ada's laptop:\n  " + i.Header +
			"\nTracing libraries pass it on from service to service as:\n  " + i.Baggage + "\nFrom a laptop that is connected with Fairlead:\n  " + i.Curl
	}
	return i
}

// mine are intercepts of this laptop: one that works, one without its program, one that waits.
func mine() []localapi.Intercept {
	cart := intercepted("cart", "shop", "cart-api", "ada-7f3c")
	checkout := intercepted("checkout", "payments", "checkout-web", "ada-91bb")
	checkout.Ports = []session.InterceptedPort{{Port: 8443, Protocol: "TCP", Local: "127.0.0.1:4000"}}
	checkout.Notes = []string{"nothing listens on 127.0.0.1:4000; requests go to the cluster meanwhile"}
	checkout.Counts = session.InterceptCounts{Matched: 9, Passed: 120, FallenBack: 9, Unreadable: 4}
	checkout.Redirect, checkout.RedirectReason = "Unprivileged", "Pod Security of the namespace forbids what the instant one needs"
	search := intercepted("search", "shop", "search-db", "")
	search.Workload.Kind = "StatefulSet"
	search.Phase, search.Message, search.Since, search.PodsCovered = "Pending", "1 of 3 pods has confirmed", nil, 1
	search.Pods[1].Covered, search.Pods[1].Message = false, "the container has not started yet"
	search.Pods[2].Covered, search.Pods[2].Message = false, "the image is being pulled"
	search.Counts = session.InterceptCounts{}
	all := []localapi.Intercept{cart, checkout, search}
	for i := range all {
		all[i].Mine = true
	}
	return all
}

// others are intercepts of teammates.
func others() []localapi.Intercept {
	of := func(i localapi.Intercept, user string) localapi.Intercept {
		i.User = user
		return i
	}
	orders := of(intercepted("orders", "shop", "orders", "ben-22aa"), "ben@example.com")
	mailer := of(intercepted("mailer", "shop", "mailer-worker", ""), "carla@example.com")
	silent := time.Now().Add(-40 * time.Second)
	mailer.Phase, mailer.Message, mailer.SilentSince = "Suspended", "its laptop has not been heard for 40 s; requests go to the app", &silent
	ci := of(intercepted("ci", "shop", "cart-api", "dev-01"), "system:serviceaccount:build:ci")
	ci.Mirror = true
	tenant := of(intercepted("tenant", "shop", "search", "dmitri-0f"), "dmitri@example.com")
	tenant.Key, tenant.Header, tenant.Baggage = "", "x-tenant: acme-", ""
	tenant.Where = []session.Condition{{Header: "x-tenant", How: "prefix", Value: "acme-"}}
	tenant.Path = &session.Condition{How: "prefix", Value: "/v2/search"}
	tenant.PodsCovered = 1
	return []localapi.Intercept{orders, mailer, ci, tenant}
}

// requests are records of the intercept "cart", from a number on.
func requests(first uint64, count int) []localapi.Record {
	paths := []string{"/", "/cart", "/cart/items/4711", "/api/v2/checkout/quote", "/cart/4711/vouchers", "/api/v2/recommendations/for/user/9181/with/a/very/long/path/that/does/not/fit"}
	methods := []string{"GET", "GET", "POST", "PUT", "DELETE"}
	statuses := []int{200, 200, 201, 404, 200, 500, 204}
	var all []localapi.Record
	for n := first; n < first+uint64(count); n++ {
		r := localapi.Record{
			Number: n, Intercept: "cart", Time: time.Now().Add(-time.Duration(first+uint64(count)-n) * 1700 * time.Millisecond), Protocol: "HTTP/1.1",
			Method: methods[n%5], Path: paths[n%6], Host: "cart-api.shop", Status: statuses[n%7], Millis: float64(n*37%900) / 3,
			Went: "laptop", Client: fmt.Sprintf("10.244.1.%d", n%200), Received: n * 31, Sent: n * 917,
		}
		switch {
		case n%17 == 9:
			r.Protocol, r.Method, r.Status, r.Open, r.Millis = "WebSocket", "GET", 101, n == 9, 8400
		case n%11 == 6:
			r.Protocol, r.Method, r.Path, r.Status, r.GRPC = "gRPC", "POST", "/shop.Cart/AddItem", 200, []string{"OK", "NOT_FOUND"}[n%2]
		case n%9 == 4:
			r.Went, r.Why = "cluster", "nothing listens on 127.0.0.1:3000"
		}
		all = append(all, r)
	}
	return all
}
