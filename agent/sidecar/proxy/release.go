// SPDX-License-Identifier: Apache-2.0

package proxy

import "strings"

// rulesChanged drops what new rules no longer want: idle connections to a laptop, and requests that wait for a laptop that is
// away and can be given to the app.
func (c *caller) rulesChanged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.h2 != nil {
		c.h2.rulesChanged()
		return
	}
	u := c.laptop
	if u == nil || c.raw || u.ended || u.closed || u.rule.counts.active.Load() {
		return
	}
	if len(u.pending) == 0 {
		if conn := u.shutLocked(); conn != nil { // at once: the next request must not count on it
			go conn.Close()
		}
		return
	}
	if e := u.pending[0].exchange; e != nil && e.repeatable && !e.begun && u.rule.counts.suspended.Load() {
		go reset(u.conn)
	}
}

// letGo begins to let go of a connection whose port is redirected no more.
func (c *caller) letGo() {
	c.mu.Lock()
	h2 := c.h2
	c.mu.Unlock()
	if h2 != nil {
		h2.goAway()
	}
}

// toLetGo reports whether the connection is to be closed when it is idle: its port is redirected no more, its pod ends, or it
// goes to a laptop of an intercept that has ended.
func (c *caller) toLetGo() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	rules := c.port.rules.Load()
	none, appGone := strings.EqualFold(rules.takeover, "None"), c.proxy.appGone.Load()
	if c.raw && c.active != nil && c.active.rule != nil {
		return !c.active.rule.counts.active.Load() || appGone && !none
	}
	return (rules.released || appGone) && !none && !c.raw
}

// closeIdle closes the connection if nothing has passed for a while. It reports whether that was the last to be done.
func (c *caller) closeIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closing || c.aborted || c.h2 != nil:
		return true
	case c.steady != nil:
		c.giveBack()
		return false
	case !c.raw && !c.between.Load():
		return false
	case c.tcp == nil:
		return true
	}
	for _, u := range []*upstream{c.app, c.laptop} {
		if u != nil && !c.raw && len(u.pending) > 0 {
			return false
		}
	}
	if !quiet(c.tcp, idleBeforeClose) {
		return false
	}
	c.endLocked()
	return true
}
