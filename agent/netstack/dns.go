// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"context"
	"encoding/binary"
	"io"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	dnsPort = 53
	// dnsTimeout is how long an answer may take: resolvers ask again after 5 s by default.
	dnsTimeout = 5 * time.Second
	// dnsPerConnection is how many questions one TCP connection may ask.
	dnsPerConnection = 1000
)

// answerDNS has a question that came over UDP answered. Beyond the peer's share, questions are dropped: resolvers ask
// again.
func (s *Stack) answerDNS(key udpKey, payload []byte) {
	select {
	case s.dns <- struct{}{}:
	default:
		s.counters.noRoom.Add(1)
		return
	}
	query := append([]byte(nil), payload...)
	go func() {
		defer func() { <-s.dns }()
		ctx, cancel := context.WithTimeout(s.ctx, dnsTimeout)
		defer cancel()
		if answer := s.config.DNS(ctx, query, false); answer != nil {
			s.sendUDP(key.target, key.laptop, answer)
		}
	}()
}

// acceptDNS takes a DNS connection (RFC 7766): messages in both directions, each after two bytes of length.
func (t *tcpFlows) acceptDNS(r *tcp.ForwarderRequest) {
	wq := new(waiter.Queue)
	ep, err := r.CreateEndpoint(wq)
	r.Complete(err != nil)
	if err != nil {
		return
	}
	conn := gonet.NewTCPConn(wq, ep)
	defer conn.Close()
	stop := context.AfterFunc(t.s.ctx, func() { ep.Abort() })
	defer stop()
	for range dnsPerConnection {
		if err := conn.SetDeadline(time.Now().Add(dnsIdle)); err != nil {
			return
		}
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.s.ctx, dnsTimeout)
		answer := t.s.config.DNS(ctx, query, true)
		cancel()
		if answer == nil || len(answer) > 65535 {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}
