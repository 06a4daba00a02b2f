// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/carrier/sockets"
	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/sidecar/http1"
)

// serveAll gives the whole connection to the laptop of a rule.
func (c *caller) serveAll(rule *rule, mirrors []*rule) {
	started := time.Now()
	switch c.lookForProbe() {
	case probeApp:
		c.connectApp()
		c.pass(c.currentApp())
		return
	case probeHTTP2:
		c.serveHTTP2(rule)
		return
	case probeEnded:
		return
	}
	flow, reason := c.open(rule, wire.FlowRaw, "", "")
	if flow == nil {
		rule.counts.fallenBack.Add(1)
		c.proxy.decided(rule, started, "", "", toApp, reason, 0)
		if len(mirrors) > 0 {
			c.serveMirrored(mirrors)
			return
		}
		c.connectApp()
		c.pass(c.currentApp())
		return
	}
	rule.counts.matched.Add(1)
	c.proxy.decided(rule, started, "", "", toLaptop, "", 0)
	c.pass(c.connectLaptop(rule, flow, nil), c.openMirrors(mirrors)...)
}

// serveMirrored gives the connection to the app, and copies of what the caller sends to laptops.
func (c *caller) serveMirrored(rules []*rule) {
	c.connectApp()
	u := c.currentApp()
	// The first bytes say whether it is a kubelet's probe.
	c.mu.Lock()
	c.raw = true
	c.mu.Unlock()
	if c.in.room(false) {
		for {
			_, err := c.in.read(c.conn)
			if err != nil && isDeadline(err) && !c.isClosing() {
				c.setDeadline(time.Time{})
				continue
			}
			if err != nil && c.in.len() == 0 {
				c.noteEnd(err)
			}
			break
		}
	}
	if bytes.Contains(c.in.bytes(), []byte("kube-probe/")) {
		rules = nil
	}
	c.pass(u, c.openMirrors(rules)...)
}

// passUnread gives bytes that can't be read, and all that follow, to the app, or to a laptop that takes all.
func (c *caller) passUnread() {
	var d decision
	c.port.rules.Load().unread(&d)
	if app := c.currentApp(); app != nil && d.rule != nil {
		s := &session{caller: c}
		if !s.awaitAnswers(app, 1) {
			return
		}
	}
	if d.rule != nil && !c.isRaw() {
		started := time.Now()
		flow, reason := c.open(d.rule, wire.FlowRaw, "", "")
		if flow != nil {
			d.rule.counts.matched.Add(1)
			c.proxy.decided(d.rule, started, "", "", toLaptop, "", 0)
			c.pass(c.connectLaptop(d.rule, flow, nil))
			return
		}
		d.rule.counts.fallenBack.Add(1)
		c.proxy.decided(d.rule, started, "", "", toApp, reason, 0)
	}
	c.pass(c.appUpstream())
}

// pass gives what has been read, and all that follows, to an upstream, and returns when both directions have ended.
func (c *caller) pass(u *upstream, mirrors ...*mirror) {
	defer func() {
		for _, m := range mirrors {
			m.close()
		}
	}()
	if u.await() != nil {
		c.abort()
		return
	}
	c.mu.Lock()
	c.raw, c.active = true, u
	ended, unheard := u.ended, u.unheard
	eof := c.eof
	c.mu.Unlock()
	if unheard {
		c.abort()
		return
	}
	c.setDeadline(time.Time{})
	if b := c.in.bytes(); len(b) > 0 {
		for _, m := range mirrors {
			m.write(b)
		}
		if _, err := u.conn.Write(b); err != nil && !ended {
			c.abort()
			return
		}
	}
	c.in.free()
	for !eof {
		var err error
		if len(mirrors) > 0 {
			err = copyTee(u.conn, c.conn, mirrors)
		} else {
			err = copyBytes(u.conn, c.conn)
		}
		switch {
		case err == nil:
			eof = true
		case isDeadline(err) && !c.isClosing():
			c.setDeadline(time.Time{})
		case isDeadline(err):
			return
		default:
			c.abort()
			<-u.done
			return
		}
	}
	u.closeWrite()
	<-u.done
}

func isDeadline(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// copyBytes moves bytes until the source ends: within the kernel between TCP connections, else through a buffer.
func copyBytes(to, from net.Conn) error {
	toTCP, ok1 := to.(*net.TCPConn)
	fromTCP, ok2 := from.(*net.TCPConn)
	if ok1 && ok2 {
		_, err := move(toTCP, fromTCP, -1)
		return err
	}
	return copyTee(to, from, nil)
}

// move moves n bytes, or all that come if n is below 0. It returns io.EOF if there were less than n.
func move(to, from *net.TCPConn, n int64) (moved int64, err error) {
	moved, err = sockets.MoveBytes(to, from, n)
	if !errors.Is(err, sockets.ErrNoSplice) {
		return moved, err
	}
	if n >= 0 {
		return io.CopyN(to, from, n)
	}
	return 0, copyTee(to, from, nil)
}

// copyTee does so with copies.
func copyTee(to, from net.Conn, mirrors []*mirror) error {
	b := large.Get().(*[largeBuffer]byte)
	defer large.Put(b)
	for {
		n, err := from.Read(b[:])
		if n > 0 {
			for _, m := range mirrors {
				m.write(b[:n])
			}
			if _, err := to.Write(b[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// looked is what a look at a connection that may be the kubelet's has found.
type looked uint8

const (
	probeNone  looked = iota // it is not, or nobody can tell
	probeApp                 // it is: to the app
	probeHTTP2               // the requests in it will tell
	probeEnded
)

// lookForProbe looks for a moment whether a connection is a probe of the kubelet's. Connections from elsewhere, and to ports
// without probes, are not held up.
func (c *caller) lookForProbe() looked {
	rules := c.port.rules.Load()
	if len(rules.probes) == 0 || !rules.fromNode(c.client.Addr()) {
		return probeNone
	}
	var h http1.Request
	until := time.Now().Add(probeWait)
	c.setDeadline(until)
	defer c.setDeadline(time.Time{})
	for {
		b := c.in.bytes()
		switch http1.Sniff(b) {
		case http1.TLS:
			if rules.probed("https") {
				return probeApp
			}
			return probeNone
		case http1.HTTP2:
			return probeHTTP2
		case http1.Other:
			return probeNone
		case http1.HTTP1:
			if !rules.probed("http") {
				return probeNone
			}
			switch got := http1.ReadRequest(b, &h); {
			case got == http1.Whole && h.Probe:
				return probeApp
			case got != http1.Partly:
				return probeNone
			}
		}
		if !c.in.room(c.in.len() >= smallBuffer) {
			return probeNone
		}
		_, err := c.in.read(c.conn)
		switch {
		case err == nil:
		case isDeadline(err):
			if c.isClosing() {
				return probeEnded
			}
			return probeNone
		case errors.Is(err, io.EOF):
			c.noteEnd(err)
			return probeApp // whoever says nothing and leaves
		default:
			// A probe may leave with a reset: the app's port has been asked all the same.
			c.connectApp()
			_ = c.currentApp().await()
			c.abort()
			return probeEnded
		}
	}
}
