// SPDX-License-Identifier: Apache-2.0

package web

import (
	"crypto/rand"
	"crypto/subtle"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

const (
	// tokenLife is how long an address of Open is good for: time for a browser to start on a busy machine.
	tokenLife = time.Minute
	// maxTokens and maxVisits bound what is remembered; the oldest goes first.
	maxTokens = 16
	maxVisits = 32
)

// doors knows who may come in: tokens that were handed out and not used yet, and visits, which are what browsers made of
// them.
type doors struct {
	now func() time.Time

	mu     sync.Mutex
	tokens []token // oldest first
	visits []visit // oldest first
}

type token struct {
	secret  string
	expires time.Time
	shell   localapi.PageRequest
}

// visit is one browser that opened the page.
type visit struct {
	path   string // random; the part of the address that keeps cookies of different ports apart
	cookie string
	shell  localapi.PageRequest
}

func newDoors(now func() time.Time) *doors { return &doors{now: now} }

// issue makes a token. rand.Text has at least 128 bits.
func (d *doors) issue(shell localapi.PageRequest) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := token{secret: rand.Text(), expires: d.now().Add(tokenLife), shell: shell}
	d.tokens = append(d.tokens, t)
	d.tokens = d.tokens[max(0, len(d.tokens)-maxTokens):]
	return t.secret
}

// enter makes a visit of a token, which is used up thereby.
func (d *doors) enter(secret string) (visit, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, t := range d.tokens {
		if !equal(t.secret, secret) {
			continue
		}
		d.tokens = append(d.tokens[:i:i], d.tokens[i+1:]...)
		if d.now().After(t.expires) {
			return visit{}, false
		}
		return d.welcome(t.shell), true
	}
	return visit{}, false
}

// admit makes a visit of a page that has come back.
func (d *doors) admit(shell localapi.PageRequest) visit {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.welcome(shell)
}

// welcome makes a visit. The lock is held.
func (d *doors) welcome(shell localapi.PageRequest) visit {
	v := visit{path: rand.Text(), cookie: rand.Text(), shell: shell}
	d.visits = append(d.visits, v)
	d.visits = d.visits[max(0, len(d.visits)-maxVisits):]
	return v
}

// visitor returns the visit of a path, if the cookie goes with it.
func (d *doors) visitor(path, cookie string) (visit, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range d.visits {
		if equal(v.path, path) && equal(v.cookie, cookie) {
			return v, true
		}
	}
	return visit{}, false
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
