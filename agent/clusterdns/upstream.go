// SPDX-License-Identifier: Apache-2.0

package clusterdns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// tryTimeout is how long one server is waited for. Two tries end before resolvers ask again, after 5 s.
	tryTimeout = 2 * time.Second
	tries      = 2

	// maxAtOnce bounds the questions under way to the cluster's DNS, of all laptops together.
	maxAtOnce = 1024

	// DefaultDomain is the cluster domain that Kubernetes has unless told otherwise.
	DefaultDomain = "cluster.local"
)

// Upstream is the cluster's DNS, as a pod's resolv.conf names it. It is safe for concurrent use.
type Upstream struct {
	servers []string // host:port
	udp     dns.Client
	tcp     dns.Client
	slots   chan struct{}
}

// NewUpstream makes an Upstream of servers, host:port each, in order of preference.
func NewUpstream(servers []string) *Upstream {
	return &Upstream{
		servers: servers,
		udp:     dns.Client{Net: "udp", Timeout: tryTimeout, UDPSize: dns.MaxMsgSize},
		tcp:     dns.Client{Net: "tcp", Timeout: tryTimeout},
		slots:   make(chan struct{}, maxAtOnce),
	}
}

// ReadResolvConf returns the DNS servers of a pod and the cluster's domain, from its resolv.conf.
func ReadResolvConf(path string) (servers []string, domain string, err error) {
	config, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil, "", fmt.Errorf("read %s: %w", path, err)
	}
	if len(config.Servers) == 0 {
		return nil, "", fmt.Errorf("read %s: no nameserver in it", path)
	}
	for _, server := range config.Servers {
		servers = append(servers, net.JoinHostPort(server, config.Port))
	}
	return servers, domainOf(config.Search), nil
}

// domainOf returns the cluster's domain by what kubelet puts in the search list.
func domainOf(search []string) string {
	for _, entry := range search {
		if domain, ok := strings.CutPrefix(strings.TrimSuffix(entry, "."), "svc."); ok && domain != "" {
			return domain
		}
	}
	return DefaultDomain
}

// Exchange asks one server after the other, by UDP and, where the answer is cut, by TCP.
func (u *Upstream) Exchange(ctx context.Context, query *dns.Msg) (*dns.Msg, error) {
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a turn to ask the cluster's DNS: %w", ctx.Err())
	}
	var failures []error
	for try := range tries {
		server := u.servers[try%len(u.servers)]
		answer, err := u.exchange(ctx, server, query)
		if err == nil {
			return answer, nil
		}
		failures = append(failures, fmt.Errorf("ask %s: %w", server, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failures...)
}

func (u *Upstream) exchange(ctx context.Context, server string, query *dns.Msg) (*dns.Msg, error) {
	answer, _, err := u.udp.ExchangeContext(ctx, query, server)
	if err == nil && !answer.Truncated {
		return answer, nil
	}
	if err != nil && answer == nil {
		return nil, err
	}
	answer, _, err = u.tcp.ExchangeContext(ctx, query, server)
	return answer, err
}
