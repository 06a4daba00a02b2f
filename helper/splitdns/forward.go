// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"

	"github.com/fairlead-dev/fairlead/agent/api/carrier"
)

// gatewayExact is the purpose of a question to the gateway that is about this very name, in the cluster's DNS.
const gatewayExact = "gateway, exactly"

const (
	// udpSize is the answer size that is asked for over UDP, in bytes: what fits any path (DNS flag day 2020).
	udpSize = 1232

	// failureTTL is how long an unanswered question is answered with a failure without asking again, so that clients
	// that try again at once don't add to the trouble.
	failureTTL = time.Second
	// maxFailures bounds the questions remembered for that.
	maxFailures = 1024

	// maxWorking bounds the questions that are worked on at a time. A question costs one socket.
	maxWorking = 256
)

// gatewayTries are how long each attempt at the gateway waits: a datagram lost in the tunnel costs little, and the sum
// stays below the 5 s after which clients ask again (resolv.conf(5), timeout).
var gatewayTries = []time.Duration{400 * time.Millisecond, 800 * time.Millisecond, 1300 * time.Millisecond}

// upstreamTries are the same for each of the machine's own name servers.
var upstreamTries = []time.Duration{1500 * time.Millisecond}

// forwarder asks name servers. Equal questions that come while one is asked share its answer; so a question that
// comes back to this machine in a loop waits for itself once and goes no further round.
type forwarder struct {
	asking  singleflight.Group
	working chan struct{}

	mu       sync.Mutex
	failures map[string]time.Time
}

func newForwarder() *forwarder {
	return &forwarder{working: make(chan struct{}, maxWorking), failures: map[string]time.Time{}}
}

var (
	errBusy      = errors.New("too many questions at a time")
	errNoServers = errors.New("there is no name server to ask")
	errSilent    = errors.New("no name server answered")
)

// ask puts the question of request to servers, one after the other, until one answers. The answer's id and flags are
// for the caller to set; it may be shared and must not be changed. purpose keeps questions to different sets of
// servers apart.
func (f *forwarder) ask(ctx context.Context, purpose string, request *dns.Msg, servers []netip.AddrPort, tries []time.Duration) (*dns.Msg, error) {
	if len(servers) == 0 {
		return nil, errNoServers
	}
	key := questionKey(purpose, request)
	if f.failedLately(key) {
		return nil, errSilent
	}
	result := f.asking.DoChan(key, func() (any, error) {
		select {
		case f.working <- struct{}{}:
			defer func() { <-f.working }()
		default:
			return nil, errBusy
		}
		// Not ended by one caller's context: others may share the answer. The tries bound it.
		message := outgoing(request)
		if purpose == gatewayExact {
			message.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: carrier.DNSOptionExact}}
		}
		answer, err := exchange(context.WithoutCancel(ctx), message, servers, tries)
		if errors.Is(err, errSilent) {
			f.rememberFailure(key)
		}
		return answer, err
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*dns.Msg), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func questionKey(purpose string, request *dns.Msg) string {
	q := request.Question[0]
	opt := request.IsEdns0()
	return fmt.Sprintf("%s %s %d %d %t %t", purpose, strings.ToLower(q.Name), q.Qtype, q.Qclass,
		opt != nil && opt.Do(), request.CheckingDisabled)
}

// outgoing makes the question that is sent on: nothing of the client's message but what changes the answer.
func outgoing(request *dns.Msg) *dns.Msg {
	q := request.Question[0]
	message := new(dns.Msg)
	message.Id = dns.Id()
	message.RecursionDesired = true
	message.CheckingDisabled = request.CheckingDisabled
	message.Question = []dns.Question{{Name: strings.ToLower(q.Name), Qtype: q.Qtype, Qclass: q.Qclass}}
	opt := request.IsEdns0()
	message.SetEdns0(udpSize, opt != nil && opt.Do())
	return message
}

// exchange asks servers in order, each in several attempts, and over TCP when the answer does not fit a datagram. An
// answer that says no more than that the server could not find out counts only if no other server does better.
func exchange(ctx context.Context, message *dns.Msg, servers []netip.AddrPort, tries []time.Duration) (*dns.Msg, error) {
	var poor *dns.Msg
	for _, wait := range tries {
		for _, server := range servers {
			answer, err := once(ctx, message, server, wait)
			if err != nil {
				continue
			}
			if answer.Rcode != dns.RcodeServerFailure && answer.Rcode != dns.RcodeRefused {
				return answer, nil
			}
			poor = answer
		}
		if poor != nil {
			return poor, nil
		}
	}
	return nil, errSilent
}

func once(ctx context.Context, message *dns.Msg, server netip.AddrPort, wait time.Duration) (*dns.Msg, error) {
	udp := dns.Client{Net: "udp", UDPSize: udpSize, Timeout: wait}
	started := time.Now()
	answer, _, err := udp.ExchangeContext(ctx, message, server.String())
	if err != nil {
		if refused := (*net.OpError)(nil); errors.As(err, &refused) && !refused.Timeout() {
			pause(ctx, wait-time.Since(started)) // refused or unreachable at once: the next attempt is not at once too
		}
		return nil, err
	}
	if !answer.Truncated {
		return answer, nil
	}
	tcp := dns.Client{Net: "tcp", Timeout: max(wait, time.Second)}
	full, _, err := tcp.ExchangeContext(ctx, message, server.String())
	if err != nil {
		return answer, nil // what there is of it, marked as cut off
	}
	return full, nil
}

// pause waits a quarter of the time that an attempt would have taken, at most.
func pause(ctx context.Context, left time.Duration) {
	timer := time.NewTimer(max(left/4, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (f *forwarder) failedLately(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	until, known := f.failures[key]
	return known && time.Now().Before(until)
}

func (f *forwarder) rememberFailure(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if len(f.failures) >= maxFailures {
		for k, until := range f.failures {
			if now.After(until) || len(f.failures) >= maxFailures {
				delete(f.failures, k)
			}
		}
	}
	f.failures[key] = now.Add(failureTTL)
}

// forget lets every question be asked again: the way to the servers has changed.
func (f *forwarder) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.failures)
}
