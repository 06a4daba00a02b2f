// SPDX-License-Identifier: Apache-2.0

package wireguard

import (
	"net/netip"
	"time"
)

const (
	// pathRetries is how often each size is tried in a row before it counts as too large.
	pathRetries = 3
	// pathRetryAfter is the time between these tries.
	pathRetryAfter = 150 * time.Millisecond
	// pathRaiseAfter is the time until larger sizes are tried again on a path that has a limit (RFC 4821, section 7.7
	// asks for at least a minute or so).
	pathRaiseAfter = time.Minute
	// pathVerifyEvery is how often the proven size is proven again, while smaller probes come through.
	pathVerifyEvery = time.Second
	// pathVerifyAgain is how soon that is tried again after a loss.
	pathVerifyAgain = 500 * time.Millisecond
	// pathLostAfter is how many of these in a row must be lost before the size counts as too large.
	pathLostAfter = 3
)

// pathMTU finds out how large IP packets may be on the way to one endpoint and back, by padded probes. It is pure:
// time comes from outside. The zero value must be reset before use.
type pathMTU struct {
	sizes   []int // worth proving, the largest first
	proven  int   // bytes; 0 if none
	tries   int   // of the sizes above proven, in the current search
	next    time.Time
	verify  time.Time // when to prove proven again
	waiting bool      // for the answer to such a probe
	lost    int       // of these in a row
}

// reset forgets everything, for another endpoint or a path that changed.
func (p *pathMTU) reset(now time.Time, endpoint netip.Addr) {
	*p = pathMTU{sizes: pathSizes(endpoint), next: now}
}

// due returns the sizes to send now, in bytes of the whole IP packet.
func (p *pathMTU) due(now time.Time) []int {
	var sizes []int
	if p.proven > 0 && !now.Before(p.verify) {
		p.verify = now.Add(pathVerifyEvery)
		if p.waiting {
			p.verify = now.Add(pathVerifyAgain)
			if p.lost++; p.lost >= pathLostAfter {
				p.proven, p.tries, p.next = 0, 0, now
			}
		}
		if p.waiting = p.proven > 0; p.waiting {
			sizes = append(sizes, p.proven)
		}
	}
	if now.Before(p.next) {
		return sizes
	}
	for _, size := range p.sizes {
		if size > p.proven {
			sizes = append(sizes, size)
		}
	}
	if p.tries++; p.tries < pathRetries {
		p.next = now.Add(pathRetryAfter)
	} else {
		p.tries, p.next = 0, now.Add(pathRaiseAfter)
	}
	return sizes
}

// answered says that a probe of size bytes came back.
func (p *pathMTU) answered(now time.Time, size int) {
	if size >= p.proven {
		p.proven, p.waiting, p.lost = size, false, 0
		p.verify = now.Add(pathVerifyEvery)
	}
}

// refused says that the system refused to send an IP packet of size bytes. A size above the proven one is no news.
func (p *pathMTU) refused(now time.Time, size int) {
	if p.proven >= size {
		p.proven, p.tries, p.waiting, p.lost, p.next = 0, 0, false, 0, now
	}
}

// wake returns when due has something to say next.
func (p *pathMTU) wake() time.Time {
	if p.proven > 0 && p.verify.Before(p.next) {
		return p.verify
	}
	return p.next
}
