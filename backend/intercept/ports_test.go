// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"fmt"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

func container(name string, ports ...core.ContainerPort) core.Container {
	return core.Container{Name: name, Ports: ports}
}

func port(name string, number int32) core.ContainerPort {
	return core.ContainerPort{Name: name, ContainerPort: number}
}

func udp(name string, number int32) core.ContainerPort {
	return core.ContainerPort{Name: name, ContainerPort: number, Protocol: core.ProtocolUDP}
}

func service(name string, ports ...core.ServicePort) core.Service {
	return core.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"}, Spec: core.ServiceSpec{Ports: ports}}
}

func workload(containers []core.Container, services ...core.Service) *cluster.FoundWorkload {
	return &cluster.FoundWorkload{
		Namespace: "shop", Kind: "Deployment", Name: "api", Services: services,
		Template: core.PodTemplateSpec{Spec: core.PodSpec{Containers: containers}},
	}
}

var (
	plain   = workload([]core.Container{container("app", port("http", 8080))}, service("api", core.ServicePort{Name: "web", Port: 80, TargetPort: intstr.FromString("http")}))
	several = workload([]core.Container{container("app", port("http", 8080), port("metrics", 9090), udp("dns", 53)), container("proxy", port("admin", 9901))},
		service("api", core.ServicePort{Name: "web", Port: 80, TargetPort: intstr.FromInt32(8080)}, core.ServicePort{Name: "dns", Port: 5353, Protocol: core.ProtocolUDP, TargetPort: intstr.FromString("dns")}))
	silent   = workload([]core.Container{container("app")})
	shadowed = workload([]core.Container{container("app", port("a", 80), port("b", 8080))}, service("api", core.ServicePort{Port: 80, TargetPort: intstr.FromInt32(8080)}))
)

func TestChoosePorts(t *testing.T) {
	for _, test := range []struct {
		name      string
		workload  *cluster.FoundWorkload
		container string
		address   string
		ports     string
		want      string // or a part of the error
	}{
		{"the only one", plain, "", "", "", "8080/TCP>127.0.0.1:8080"},
		{"another number here", plain, "", "", "3000", "8080/TCP>127.0.0.1:3000"},
		{"by container port", plain, "", "", "3000:8080", "8080/TCP>127.0.0.1:3000"},
		{"by name", plain, "", "", "3000:http", "8080/TCP>127.0.0.1:3000"},
		{"by name alone", plain, "", "", "http", "8080/TCP>127.0.0.1:8080"},
		{"same number", plain, "", "", ":8080", "8080/TCP>127.0.0.1:8080"},
		{"by service port", plain, "", "", "3000:80", "8080/TCP>127.0.0.1:3000"},
		{"by service port's name", plain, "", "", "3000:web", "8080/TCP>127.0.0.1:3000"},
		{"declared nowhere", plain, "", "", "3000:7777", "7777/TCP>127.0.0.1:3000"},
		{"declared nowhere, UDP", plain, "", "", "3000:7777/udp", "7777/UDP>127.0.0.1:3000"},
		{"IPv6", plain, "", "[::1]", "3000", "8080/TCP>[::1]:3000"},
		{"IPv6 without brackets", plain, "", "::1", "3000", "8080/TCP>[::1]:3000"},
		{"a host", plain, "", "devbox.local", "3000", "8080/TCP>devbox.local:3000"},
		{"localhost", plain, "", "localhost", "3000", "8080/TCP>127.0.0.1:3000"},
		{"several, none named", several, "", "", "", "several TCP ports: 8080 (http), 9090 (metrics), 53 (dns)/udp, 9901 (admin)"},
		{"several, one of them here", several, "", "", "9090", "9090/TCP>127.0.0.1:9090"},
		{"several, another here", several, "", "", "3000", "several TCP ports"},
		{"the only UDP port", several, "", "", "5000/udp", "53/UDP>127.0.0.1:5000"},
		{"UDP by name", several, "", "", "5000:dns", "53/UDP>127.0.0.1:5000"},
		{"UDP by service port", several, "", "", "5000:5353", "53/UDP>127.0.0.1:5000"},
		{"two of them", several, "", "", "3000:http,3001:metrics", "8080/TCP>127.0.0.1:3000 9090/TCP>127.0.0.1:3001"},
		{"twice", several, "", "", "3000:http,3001:80", "given twice"},
		{"of another container", several, "proxy", "", "", "9901/TCP>127.0.0.1:9901"},
		{"no such name", several, "", "", "3000:nope", `no port "nope": 8080 (http)`},
		{"no such container", several, "nope", "", "", `no container "nope": app, proxy`},
		{"none declared", silent, "", "", "3000", "declares no TCP port"},
		{"none declared, by number", silent, "", "", "3000:80", "80/TCP>127.0.0.1:3000"},
		{"a container's number counts first", shadowed, "", "", "3000:80", "80/TCP>127.0.0.1:3000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var wishes []portWish
			for _, text := range strings.FieldsFunc(test.ports, func(r rune) bool { return r == ',' }) {
				wish, err := readPort(text)
				if err != nil {
					t.Fatal(err)
				}
				wishes = append(wishes, wish)
			}
			chosen, err := choosePorts(test.workload, test.container, test.address, wishes)
			var got []string
			for _, c := range chosen {
				got = append(got, fmt.Sprintf("%d/%s>%s", c.number, c.protocol, c.local))
			}
			if err != nil {
				p := problem.From(err)
				if text := p.Message + ": " + strings.Join(p.Details, ", "); !strings.Contains(text, test.want) || p.Hint == "" {
					t.Errorf("got error %q, hint %q, want %q", text, p.Hint, test.want)
				}
				return
			}
			if text := strings.Join(got, " "); text != test.want {
				t.Errorf("got %s, want %s", text, test.want)
			}
		})
	}
}
