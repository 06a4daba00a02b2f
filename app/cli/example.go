// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// exampleWithin is how long a connection that is there waits for an example of what to do with it.
const exampleWithin = 200 * time.Millisecond

// lookAround asks, beside connecting, what runs where it connects to. Only an example depends on the answer, so what
// goes wrong is no answer.
func lookAround(ctx context.Context, client *localapi.Client, options session.Options) <-chan localapi.Workloads {
	found := make(chan localapi.Workloads, 1)
	go func() {
		defer close(found)
		if w, err := client.Workloads(ctx, localapi.WorkloadsRequest{Target: localapi.TargetOf(options)}); err == nil {
			found <- w
		}
	}()
	return found
}

// example is a command that shows what the connection is for: it calls a Service of the namespace that seems to speak
// HTTP and has pods that are ready. It is empty if there is none, or not soon.
func example(found <-chan localapi.Workloads, s localapi.Status) string {
	select {
	case w := <-found:
		if w.Context == s.Context && w.Namespace == s.Namespace {
			return webCommand(w.Workloads)
		}
	case <-time.After(exampleWithin):
	}
	return ""
}

// webCommand calls the first of the Services that seem to speak HTTP, plain HTTP on its usual port before all else.
func webCommand(workloads []localapi.Workload) string {
	best, bestRank := "", 0
	for _, w := range workloads {
		for _, port := range w.ServicePorts {
			if command, rank := curl(port); w.Ready > 0 && rank > bestRank {
				best, bestRank = command, rank
			}
		}
	}
	return best
}

// curl is the command that calls a port, and how good an example that is: 0 if the port does not seem to speak HTTP.
func curl(p cluster.ServicePort) (command string, rank int) {
	switch speaks := scheme(p); {
	case speaks == "http" && p.Port == 80:
		return "curl http://" + p.Service + "/", 3
	case speaks == "http":
		return fmt.Sprintf("curl http://%s:%d/", p.Service, p.Port), 2
	case speaks == "https" && p.Port == 443:
		return "curl -k https://" + p.Service + "/", 1
	case speaks == "https":
		return fmt.Sprintf("curl -k https://%s:%d/", p.Service, p.Port), 1
	}
	return "", 0
}

// scheme guesses whether a port speaks HTTP or HTTPS: by what the Service says, else by its number.
func scheme(p cluster.ServicePort) string {
	if p.Protocol != "TCP" {
		return ""
	}
	switch strings.ToLower(p.AppProtocol) {
	case "":
	case "http", "kubernetes.io/ws":
		return "http"
	case "https", "kubernetes.io/wss":
		return "https"
	default:
		return ""
	}
	switch name, _, _ := strings.Cut(strings.ToLower(p.Name), "-"); name {
	case "http", "web":
		return "http"
	case "https":
		return "https"
	}
	switch p.Port {
	case 80, 8080, 8000, 3000:
		return "http"
	case 443, 8443:
		return "https"
	}
	return ""
}
