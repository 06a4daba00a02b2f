// SPDX-License-Identifier: Apache-2.0

package splitdns

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// loopDomain is below a top-level domain that is for tests (RFC 6761): forwarders send such names on like most others.
const loopDomain = "fairlead-check.test"

// checks remembers the test names that are under way, and whether they arrived here.
type checks struct {
	mu      sync.Mutex
	pending map[string]bool // by lower-case name without a final dot; true once it arrived
}

func newChecks() *checks { return &checks{pending: map[string]bool{}} }

// begin makes a test name below domain that nobody has asked for before. end forgets it, and reports whether a
// question for it arrived.
func (c *checks) begin(domain string) (name string, end func() bool) {
	name = strings.ToLower(rand.Text()) + "." + domain
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending[name] = false
	return name, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		arrived := c.pending[name]
		delete(c.pending, name)
		return arrived
	}
}

// arrived reports whether a question's name is a test name, and remembers that it came.
func (c *checks) arrived(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) == 0 {
		return false
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	_, ok := c.pending[name]
	if ok {
		c.pending[name] = true
	}
	return ok
}

// wayHere asks the machine's own resolver for a name of the cluster that only this package knows. The error says what
// came instead.
func (c *checks) wayHere(ctx context.Context, clusterDomain string, self netip.Addr, ask func(context.Context, string) ([]netip.Addr, error)) error {
	name, end := c.begin(checkLabel + "." + clusterDomain)
	addresses, err := ask(ctx, name)
	arrived := end()
	switch {
	case err == nil && slices.Contains(addresses, self):
		return nil
	case arrived:
		return fmt.Errorf("a test question arrived, but its answer did not come back: %w", orUnexpected(err, addresses))
	default:
		return fmt.Errorf("the machine's resolver does not ask Fairlead: %w", orUnexpected(err, addresses))
	}
}

func orUnexpected(err error, addresses []netip.Addr) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("it answered %v", addresses)
}

// loops reports whether a name server asks us what we ask it, as a forwarder does that takes its own servers from the
// machine's settings.
func (c *checks) loops(ctx context.Context, server netip.AddrPort) bool {
	name, end := c.begin(loopDomain)
	message := new(dns.Msg)
	message.SetQuestion(dns.Fqdn(name), dns.TypeA)
	client := dns.Client{Net: "udp", Timeout: time.Second}
	// Whether and what it answers does not matter, only whether the question comes by here meanwhile.
	_, _, _ = client.ExchangeContext(ctx, message, server.String())
	return end()
}
