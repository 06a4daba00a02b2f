// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/tests/golden"
)

// TestPreview compares what is said of intercepts of the fake cluster's deployment with testdata/preview/NAME.golden.
func TestPreview(t *testing.T) {
	all, personal := Request{Workload: "api", All: true}, Request{Workload: "api", Key: "jo-1"}
	bob := func(change func(*v1alpha1.Intercept)) *v1alpha1.Intercept {
		key := "bob-1"
		o := &v1alpha1.Intercept{
			ObjectMeta: metav1.ObjectMeta{Name: "api-bob", Namespace: "shop", UID: "bob", CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 0, 0, time.Local))},
			Spec: v1alpha1.InterceptSpec{
				User: "bob", Workload: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "api"}, Ports: []v1alpha1.InterceptPort{{Port: 8080, Protocol: "TCP", TunnelPort: 1}},
				Match: &v1alpha1.Match{Key: &key},
			},
		}
		if change != nil {
			change(o)
		}
		return o
	}
	gateway := func(arguments ...string) []core.Pod {
		return []core.Pod{{Spec: core.PodSpec{Containers: []core.Container{{Args: append([]string{"gateway"}, arguments...)}}}}}
	}
	usual := gateway("--intercepts", "--redirect=Auto", "--intercept-max-duration=24h")
	tests := map[string]struct {
		request Request
		theirs  *v1alpha1.Intercept
		pods    int
		level   string
		gateway []core.Pod
		deploy  func(*core.PodSpec)
	}{
		"personal":           {request: personal, pods: 3, gateway: usual},
		"all":                {request: all, pods: 3, gateway: usual},
		"one-pod":            {request: Request{Workload: "api", All: true, Takeover: "none", Expires: "90m"}, pods: 1, gateway: usual},
		"nothing-known":      {request: personal, pods: -1},
		"no-pods":            {request: personal, pods: 0, gateway: usual},
		"mirror":             {request: Request{Workload: "api", Key: "jo-1", Mirror: true}, pods: 2, gateway: usual},
		"mirror-all":         {request: Request{Workload: "api", All: true, Mirror: true, Takeover: "force"}, pods: 2, gateway: usual},
		"conditions":         {request: Request{Workload: "api", Headers: []string{"x-team^=bl"}, Path: "~=/v[12]/.*"}, pods: 2, gateway: usual},
		"restricted":         {request: personal, pods: 2, level: "restricted", gateway: usual},
		"asked-unprivileged": {request: Request{Workload: "api", Key: "jo-1", Redirect: "unprivileged", Ports: []string{"3000:9999"}}, pods: 2, gateway: usual},
		"undeclared":         {request: Request{Workload: "api", Key: "jo-1", Ports: []string{"3000:9999"}, Address: "192.0.2.1"}, pods: 2, gateway: usual},
		"gateway-without":    {request: personal, pods: 2, gateway: gateway("--redirect=Auto")},
		"gateway-instant":    {request: personal, pods: 2, gateway: gateway("--intercepts", "--redirect=Instant", "--intercept-max-duration=8h")},
		"host-network":       {request: personal, pods: 2, gateway: usual, deploy: func(s *core.PodSpec) { s.HostNetwork = true }},
		"tls": {request: personal, pods: 2, gateway: usual, deploy: func(s *core.PodSpec) {
			s.Containers[0].Ports = []core.ContainerPort{{Name: "https", ContainerPort: 8443}}
		}},
		"two-ports": {request: Request{Workload: "api", Key: "jo-1", Ports: []string{"3000:http", "grpc"}}, pods: 2, gateway: usual, deploy: func(s *core.PodSpec) {
			s.Containers[0].Ports = append(s.Containers[0].Ports, core.ContainerPort{Name: "grpc", ContainerPort: 9090})
		}},
		"which-port": {request: personal, pods: 2, gateway: usual, deploy: func(s *core.PodSpec) {
			s.Containers[0].Ports = append(s.Containers[0].Ports, core.ContainerPort{Name: "grpc", ContainerPort: 9090})
		}},
		"bad-key":            {request: Request{Workload: "api", Key: "a b"}, pods: 2, gateway: usual},
		"beside-a-key":       {request: personal, theirs: bob(nil), pods: 2, gateway: usual},
		"same-key":           {request: Request{Workload: "api", Key: "bob-1"}, theirs: bob(nil), pods: 2, gateway: usual},
		"all-beside-a-key":   {request: all, theirs: bob(nil), pods: 2, gateway: usual},
		"all-may-be-beside":  {request: all, theirs: bob(nil), pods: 2, gateway: gateway("--intercepts", "--personal-beside-all")},
		"all-beside-unknown": {request: all, theirs: bob(nil), pods: 2},
		"all-beside-all":     {request: all, theirs: bob(func(o *v1alpha1.Intercept) { o.Spec.Match = nil }), pods: 2, gateway: usual},
		"beside-own-all":     {request: all, theirs: bob(func(o *v1alpha1.Intercept) { o.Spec.Match, o.Spec.User = nil, "jo" }), pods: 2, gateway: usual},
		"beside-a-header": {request: personal, theirs: bob(func(o *v1alpha1.Intercept) {
			value := "blue"
			o.Spec.Match = &v1alpha1.Match{Headers: []v1alpha1.HeaderMatch{{Name: "x-team", ValueMatch: v1alpha1.ValueMatch{Exact: &value}}}}
		}), pods: 2, gateway: usual},
		"beside-what-ended": {request: all, theirs: bob(func(o *v1alpha1.Intercept) { o.Spec.Leaving = true }), pods: 2, gateway: usual},
		"beside-a-copy":     {request: all, theirs: bob(func(o *v1alpha1.Intercept) { o.Spec.Mirror = true }), pods: 2, gateway: usual},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.cluster.set(func() {
				w.cluster.pods, w.cluster.level, w.cluster.gatewayPods, w.cluster.deploy = test.pods, test.level, test.gateway, test.deploy
				if test.theirs != nil {
					w.cluster.objects[test.theirs.Name] = test.theirs
				}
				w.cluster.gateway = func(*v1alpha1.Intercept) {}
			})
			before := len(w.cluster.all())
			p, err := w.manager.Preview(t.Context(), test.request)
			if err != nil {
				t.Fatal(err)
			}
			if after := len(w.cluster.all()); after != before {
				t.Errorf("the preview made an intercept")
			}
			golden.Compare(t, filepath.Join("testdata", "preview", name+".golden"), readable(p))
		})
	}
}

// readable is a Preview for people who read golden files.
func readable(p Preview) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s/%s, %d pods, containers %v\n", p.Workload.Kind, p.Workload.Namespace, p.Workload.Name, p.Workload.Pods, p.Workload.Containers)
	for _, port := range p.Workload.Ports {
		fmt.Fprintf(&b, "port %+v\n", port)
	}
	for _, part := range []struct {
		name  string
		lines []string
	}{
		{"touches", p.Touches}, {"warning", p.Warnings}, {"key", []string{p.Key}}, {"header", []string{p.Header}}, {"baggage", []string{p.Baggage}}, {"curl", []string{p.Curl}},
		{"share", strings.Split(p.Share, "\n")},
	} {
		for _, line := range part.lines {
			if strings.HasPrefix(line, "Nothing listens on ") { // that is this machine's affair
				continue
			}
			fmt.Fprintf(&b, "%s\n", strings.TrimRight(part.name+": "+line, " "))
		}
	}
	if p.Problem != nil {
		fmt.Fprintf(&b, "problem %s: %s\nhint: %s\n", p.Problem.Code, p.Problem.Message, p.Problem.Hint)
		for _, detail := range p.Problem.Details {
			fmt.Fprintf(&b, "detail: %s\n", detail)
		}
	}
	return b.String()
}

func TestAPreviewsKeyIsTheOneToAskWith(t *testing.T) {
	w := newWorld(t)
	first, err := w.manager.Preview(t.Context(), Request{Workload: "api"})
	if err != nil || !strings.HasPrefix(first.Key, "jo-") || !strings.Contains(first.Header, first.Key) {
		t.Fatalf("%+v, %v", first, err)
	}
	made := w.create(t, Request{Workload: "api", Key: first.Key})
	if made.Header != first.Header || made.Baggage != first.Baggage || made.Curl != first.Curl || made.Share != first.Share {
		t.Errorf("previewed %+v, made %+v", first, made)
	}
	again, err := w.manager.Preview(t.Context(), Request{Workload: "api"})
	if err != nil || again.Key != first.Key || again.Problem != nil || !strings.Contains(strings.Join(again.Warnings, " "), "has this intercept already") {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestAPreviewSaysWhetherAProgramListens(t *testing.T) {
	w := newWorld(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, listens := range []bool{true, false} {
		if !listens {
			listener.Close()
		}
		p, err := w.manager.Preview(t.Context(), Request{Workload: "api", Ports: []string{port + ":http"}})
		if said := strings.Contains(strings.Join(p.Warnings, " "), "Nothing listens on 127.0.0.1:"+port); err != nil || said == listens {
			t.Errorf("listens %v: %v, %v", listens, p.Warnings, err)
		}
	}
}

func TestAPreviewNeedsAConnectionAndAWorkload(t *testing.T) {
	if _, err := NewManager(nil).Preview(t.Context(), Request{Workload: "api"}); problem.From(err).Code != problem.NotConnected {
		t.Errorf("got %v", err)
	}
	if _, err := newWorld(t).manager.Preview(t.Context(), Request{Workload: "deployment/none"}); problem.From(err).Code != problem.NotFound {
		t.Errorf("got %v", err)
	}
}

func TestRelate(t *testing.T) {
	match := func(r Request) *v1alpha1.Match {
		m, _, err := r.readMatch("jo")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, test := range []struct {
		a, b Request
		want overlap
	}{
		{Request{All: true}, Request{All: true}, overlapSure},
		{Request{All: true}, Request{Key: "a"}, overlapUnknown},
		{Request{Key: "a"}, Request{Key: "a"}, overlapSure},
		{Request{Key: "a"}, Request{Key: "b"}, overlapNone},
		{Request{Key: "a"}, Request{Headers: []string{"x=1"}}, overlapUnknown},
		{Request{Path: "/a"}, Request{Path: "/b"}, overlapNone},
		{Request{Path: "/a/b"}, Request{Path: "^=/a"}, overlapUnknown},
		{Request{Path: "^=/b"}, Request{Path: "/a/b"}, overlapNone},
		{Request{Path: "^=/a"}, Request{Path: "^=/b"}, overlapNone},
		{Request{Path: "^=/a"}, Request{Path: "^=/a/b"}, overlapUnknown},
		{Request{Path: "~=/a.*"}, Request{Path: "/b"}, overlapUnknown},
	} {
		if got := relate(match(test.a), match(test.b)); got != test.want {
			t.Errorf("%+v and %+v: got %v, want %v", test.a, test.b, got, test.want)
		}
	}
}

func TestPolicyOfAGatewayWithoutPods(t *testing.T) {
	if _, known := cluster.PolicyOf(nil); known {
		t.Error("something is known of no pods")
	}
}
