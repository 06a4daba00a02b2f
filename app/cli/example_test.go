// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/cluster"
)

func TestWebCommand(t *testing.T) {
	runs := func(ready int32, ports ...cluster.ServicePort) localapi.Workload {
		return localapi.Workload{Ready: ready, ServicePorts: ports}
	}
	port := func(service, name string, number int32) cluster.ServicePort {
		return cluster.ServicePort{Service: service, Name: name, Port: number, Protocol: "TCP"}
	}
	speaks := func(p cluster.ServicePort, appProtocol string) cluster.ServicePort {
		p.AppProtocol = appProtocol
		return p
	}
	udp := port("dns", "http", 80)
	udp.Protocol = "UDP"
	tests := []struct {
		name      string
		workloads []localapi.Workload
		want      string
	}{
		{"nothing runs", nil, ""},
		{"no Service", []localapi.Workload{runs(1)}, ""},
		{"by name", []localapi.Workload{runs(1, port("catalog", "http", 9000))}, "curl http://catalog:9000/"},
		{"by the beginning of a name", []localapi.Workload{runs(1, port("catalog", "http-api", 9000))}, "curl http://catalog:9000/"},
		{"by number", []localapi.Workload{runs(1, port("catalog", "", 80))}, "curl http://catalog/"},
		{"by protocol", []localapi.Workload{runs(1, speaks(port("catalog", "", 9000), "HTTP"))}, "curl http://catalog:9000/"},
		{"another protocol on a usual port", []localapi.Workload{runs(1, speaks(port("catalog", "", 80), "kubernetes.io/h2c"))}, ""},
		{"another name on a usual port", []localapi.Workload{runs(1, port("catalog", "main", 8080))}, "curl http://catalog:8080/"},
		{"HTTPS", []localapi.Workload{runs(1, port("catalog", "https", 443))}, "curl -k https://catalog/"},
		{"HTTPS elsewhere", []localapi.Workload{runs(1, port("catalog", "https", 9443))}, "curl -k https://catalog:9443/"},
		{"UDP", []localapi.Workload{runs(1, udp)}, ""},
		{"a database", []localapi.Workload{runs(1, port("db", "postgres", 5432))}, ""},
		{"the ready one", []localapi.Workload{runs(0, port("a", "http", 80)), runs(2, port("b", "http", 80))}, "curl http://b/"},
		{"the simplest one", []localapi.Workload{
			runs(1, port("a", "https", 443)), runs(1, port("b", "http", 8080)), runs(1, port("c", "http", 80)), runs(1, port("d", "http", 80)),
		}, "curl http://c/"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := webCommand(test.workloads); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
