// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"sync/atomic"
	"time"
)

// Limits bound what one peer may hold. A zero field stands for its default.
type Limits struct {
	TCPFlows     int   // open TCP connections; more are refused. Default 8192
	PendingDials int   // TCP connections still being made; more have to try again. Default 1024
	UDPFlows     int   // UDP flows; a further one replaces the longest silent. Default 4096
	EchoFlows    int   // pairs of ping source and target; a further one replaces the longest silent. Default 128
	DNSQueries   int   // DNS questions being answered; more are dropped and asked again. Default 256
	ReceiveBytes int64 // received TCP data that waits for its target; more is dropped and sent again. Default 48 MiB
	SendBytes    int64 // TCP data that waits for the laptop, shared out among the peer's connections. Default 32 MiB
}

// Buffers of one TCP connection, in bytes. The largest window that a path of 200 Mbit/s and 100 ms needs is 2.5 MB.
const (
	receiveBufferDefault = 1 << 20
	receiveBufferMax     = 6 << 20
	sendBufferMin        = 16 << 10
	sendBufferDefault    = 1 << 20
	sendBufferMax        = 4 << 20
)

// Times that flows are given.
const (
	dialTimeout       = 30 * time.Second // a SYN that nobody answers; the laptop's own SYNs then start over
	timeWaitLimit     = 15 * time.Second // TIME_WAIT inside the tunnel, where no packet lives longer; a new SYN ends it
	keepaliveIdle     = 2 * time.Minute  // of silence before a connection is probed
	keepaliveInterval = 30 * time.Second
	keepaliveCount    = 8 // unanswered probes end the connection: a laptop may sleep about four minutes more
	maxRTO            = 4 * time.Second
	maxRetransmits    = 255 // at maxRTO: a connection with data in flight outlives 15 minutes of silence
	udpIdle           = 60 * time.Second
	udpIdleShort      = 30 * time.Second // after one answer to one question, as DNS does (RFC 4787, REQ-5)
	echoIdle          = 30 * time.Second
)

func (l Limits) withDefaults() Limits {
	set := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	set(&l.TCPFlows, 8192)
	set(&l.PendingDials, 1024)
	set(&l.UDPFlows, 4096)
	set(&l.EchoFlows, 128)
	set(&l.DNSQueries, 256)
	if l.ReceiveBytes <= 0 {
		l.ReceiveBytes = 48 << 20
	}
	if l.SendBytes <= 0 {
		l.SendBytes = 32 << 20
	}
	return l
}

// Budget is a bound in bytes that all stacks share. The zero value has no bound. It is safe for concurrent use.
type Budget struct {
	Max  int64
	used atomic.Int64
}

// Used returns how many bytes are taken.
func (b *Budget) Used() int64 { return b.used.Load() }

// take reserves n bytes and reports whether there was room; it reserves nothing if not.
func (b *Budget) take(n int64) bool {
	if b.used.Add(n) > b.Max && b.Max > 0 {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *Budget) give(n int64) { b.used.Add(-n) }
