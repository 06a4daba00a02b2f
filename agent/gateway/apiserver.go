// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net"
	"os"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// dialLimit bounds one attempt to open a connection to the API server. While its Service has no endpoint, nodes
	// refuse at most a few connections a second aloud (net.ipv4.icmp_ratelimit); the others hear nothing, and the kernel
	// tries those again after 1, 3, 7, 15 and 31 s. A new attempt is sooner. Twice the time of a lost packet
	// (RFC 6298: 1 s), and room for a distant API server.
	dialLimit = 3 * time.Second
	// keepAlivePeriod is client-go's.
	keepAlivePeriod = 30 * time.Second
)

// healthChecks make client-go find out within 8 s that a connection to the API server is dead, such as after the node
// died that it led to, rather than within its 45 s: it asks after 5 s of silence, and waits 3 s for an answer
// (k8s.io/apimachinery/pkg/util/net/http.go).
var healthChecks = map[string]string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS": "5", "HTTP2_PING_TIMEOUT_SECONDS": "3"}

// apiServer is how the pod reaches the API server.
func apiServer(version string) (*rest.Config, error) {
	for name, value := range healthChecks {
		if os.Getenv(name) != "" {
			continue // somebody's wish
		}
		if err := os.Setenv(name, value); err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	config.UserAgent = "fairlead-gateway/" + version
	config.QPS, config.Burst = 200, 400 // the API server's own fairness is the limit that counts
	config.Dial = (&net.Dialer{Timeout: dialLimit, KeepAlive: keepAlivePeriod}).DialContext
	return config, nil
}
