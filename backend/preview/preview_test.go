// SPDX-License-Identifier: Apache-2.0

package preview

import (
	"os/exec"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestOf(t *testing.T) {
	for name, test := range map[string]struct {
		in                       Intercept
		header, baggage, command string
		share                    string // a part of it
	}{
		"key": {
			Intercept{User: "ana", Workload: "api", URL: "http://api.shop/", Key: "ana-7f3c"},
			"x-fairlead: ana-7f3c", "baggage: fairlead=ana-7f3c", "curl -H 'x-fairlead: ana-7f3c' http://api.shop/", "with this header go to ana's laptop:\n  x-fairlead: ana-7f3c",
		},
		"headers and path": {
			Intercept{User: "ana", Workload: "api", URL: "https://api.shop/", Headers: []Condition{{"x-user", "exact", "it's me"}, {"x-team", "prefix", "blue"}, {"x-no", "regex", ".*"}}, Path: &Condition{How: "prefix", Value: "/cart"}},
			"x-user: it's me\nx-team: blue", "", `curl -k -H 'x-user: it'\''s me' -H 'x-team: blue' https://api.shop/cart`, "begins with /cart",
		},
		"all": {Intercept{User: "ana", Workload: "api", URL: "http://api.shop:8080/", All: true}, "", "", "curl http://api.shop:8080/", "All traffic of api goes to ana's laptop."},
		"grpc": {
			Intercept{Workload: "pricing", URL: "grpc://pricing.shop:9090", Key: "k"},
			"x-fairlead: k", "baggage: fairlead=k", "grpcurl -plaintext -H 'x-fairlead: k' pricing.shop:9090 list", "grpcurl",
		},
		"h2c":              {Intercept{URL: "h2c://api.shop:81/", Key: "k"}, "x-fairlead: k", "baggage: fairlead=k", "curl --http2-prior-knowledge -H 'x-fairlead: k' http://api.shop:81/", ""},
		"raw":              {Intercept{URL: "tcp://db.shop:5432", All: true}, "", "", "nc db.shop 5432", ""},
		"no service":       {Intercept{Key: "k"}, "x-fairlead: k", "baggage: fairlead=k", "", ""},
		"strange":          {Intercept{URL: "gopher://x/", Key: "k"}, "x-fairlead: k", "baggage: fairlead=k", "", ""},
		"path that quotes": {Intercept{URL: "http://a.b/", Path: &Condition{How: "exact", Value: "/$(reboot)"}}, "", "", "curl 'http://a.b/$(reboot)'", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := Of(test.in)
			if p.Header != test.header || p.Baggage != test.baggage || p.Command != test.command || !strings.Contains(p.Share, test.share) {
				t.Errorf("got %+v", p)
			}
		})
	}
}

func TestURL(t *testing.T) {
	protocol := func(s string) *string { return &s }
	service := func(name string, ports ...core.ServicePort) core.Service {
		return core.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"}, Spec: core.ServiceSpec{Ports: ports}}
	}
	for want, ports := range map[string][]core.ServicePort{
		"":                        {},
		"http://api.shop/":        {{Name: "http", Port: 80}},
		"http://api.shop:8080/":   {{Name: "web-ui", Port: 8080}},
		"http://api.shop:7777/":   {{Port: 7777}},
		"https://api.shop/":       {{Port: 443}},
		"https://api.shop:9443/":  {{Name: "https", Port: 9443}},
		"grpc://api.shop:9090":    {{Name: "grpc", Port: 9090}},
		"h2c://api.shop/":         {{Name: "x", Port: 80, AppProtocol: protocol("kubernetes.io/h2c")}},
		"tcp://api.shop:6379":     {{Name: "redis", Port: 6379}},
		"tcp://api.shop:1":        {{Name: "http", Port: 1, AppProtocol: protocol("example.com/own")}},
		"http://api.shop:8000/":   {{Name: "metrics", Port: 9100}, {Name: "http", Port: 8000}},
		"https://api.shop:10443/": {{Name: "tcp", Port: 1}, {Name: "tls", Port: 10443}},
	} {
		var all []ServicePort
		for i := range ports {
			all = append(all, ServicePort{0, i})
		}
		if got := URL([]core.Service{service("api", ports...)}, all); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// FuzzCommand holds commands to being one command, whatever an intercept is called by.
func FuzzCommand(f *testing.F) {
	for _, seed := range []string{"plain", "it's", "a b", "$(x)", "`x`", "\n", "", "\\", "a;b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsRune(value, 0) {
			return
		}
		line := quote(value)
		out, err := exec.Command("sh", "-c", "printf %s "+line).Output()
		if err != nil || string(out) != value {
			t.Errorf("%q became %s, which a shell reads as %q (%v)", value, line, out, err)
		}
	})
}
