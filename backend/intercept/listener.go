// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/backend/traffic"
)

const (
	// maxFlows bounds the flows of all intercepts together.
	maxFlows = 4096
	// bindTries bounds the search for a port that is free on every tunnel address.
	bindTries = 16
)

// keepAlive notices a gateway or a program that has vanished, within a minute.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 20 * time.Second, Interval: 10 * time.Second, Count: 4}

// listener takes the gateway's flows on the laptop's tunnel addresses.
type listener struct {
	port    uint16
	sockets []net.Listener
	gateway []netip.Addr // whose connections are taken
	find    func(ctx context.Context, open wire.Open) *target
	log     *slog.Logger
	records *traffic.Log

	ctx    context.Context
	cancel context.CancelFunc
	flows  sync.WaitGroup
	slots  chan struct{} // one for each flow
}

// listen opens the listener on all addresses with one port: the wanted one if it is free, else any.
func listen(addresses, gateway []netip.Addr, wanted uint16, find func(context.Context, wire.Open) *target, records *traffic.Log, log *slog.Logger) (*listener, error) {
	l := &listener{gateway: gateway, find: find, log: log, records: records, slots: make(chan struct{}, maxFlows)}
	if len(addresses) == 0 {
		return nil, errors.New("listen for the gateway: the tunnel has no address")
	}
	var err error
	for try := range bindTries {
		if try > 0 {
			wanted = 0
		}
		if l.port, l.sockets, err = bind(addresses, wanted); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen for the gateway: %w", err)
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for _, socket := range l.sockets {
		l.flows.Go(func() { l.accept(socket) })
	}
	return l, nil
}

// bind listens on one port of all addresses.
func bind(addresses []netip.Addr, port uint16) (uint16, []net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	config.KeepAliveConfig = keepAlive
	var sockets []net.Listener
	for _, address := range addresses {
		socket, err := config.Listen(context.Background(), "tcp", netip.AddrPortFrom(address, port).String())
		if err != nil {
			for _, open := range sockets {
				_ = open.Close()
			}
			return 0, nil, err
		}
		if bound, ok := socket.Addr().(*net.TCPAddr); ok {
			port = uint16(bound.Port)
		}
		sockets = append(sockets, socket)
	}
	return port, sockets, nil
}

// close ends the listener and all its flows.
func (l *listener) close() {
	l.cancel()
	for _, socket := range l.sockets {
		_ = socket.Close()
	}
	l.flows.Wait()
}

func (l *listener) accept(socket net.Listener) {
	for {
		conn, err := socket.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, or a connection that was reset early
			select {
			case <-time.After(10 * time.Millisecond):
				continue
			case <-l.ctx.Done():
				return
			}
		}
		if !l.isGateway(conn.RemoteAddr()) {
			l.log.Warn("refused a connection that is not the gateway's", "from", conn.RemoteAddr())
			_ = conn.Close()
			continue
		}
		select {
		case l.slots <- struct{}{}:
			l.flows.Go(func() {
				defer func() { <-l.slots }()
				l.serve(conn)
			})
		default:
			l.flows.Go(func() { l.refuse(conn) })
		}
	}
}

// isGateway reports whether an address is the gateway's end of the tunnel.
func (l *listener) isGateway(from net.Addr) bool {
	tcp, ok := from.(*net.TCPAddr)
	return ok && slices.Contains(l.gateway, tcp.AddrPort().Addr().Unmap())
}

// refuse says that there are too many flows.
func (l *listener) refuse(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(wire.OpenTimeout))
	_ = wire.WriteMessage(conn, wire.Answer{Result: wire.Overloaded, Detail: fmt.Sprintf("this laptop has %d flows open", maxFlows)}, wire.MaxOpen)
}

// serve reads what a connection is for, answers, and carries the flow.
func (l *listener) serve(conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(l.ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(wire.OpenTimeout))
	var open wire.Open
	if err := wire.ReadMessage(conn, &open, wire.MaxOpen); err != nil {
		l.log.Debug("connection of the gateway said nothing", "error", err)
		return
	}
	answer, local := l.answer(open)
	if answer.Result == wire.NobodyListens {
		l.missed(open, answer.Detail)
	}
	if local != nil {
		defer local.Close()
		defer context.AfterFunc(l.ctx, func() { _ = local.Close() })()
	}
	if err := wire.WriteMessage(conn, answer, wire.MaxOpen); err != nil || local == nil {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	if l.ctx.Err() != nil { // the deadline above may have been the last word
		return
	}
	l.log.Debug("flow", "intercept", open.Intercept, "port", open.Port, "kind", open.Kind, "pod", open.Pod, "client", open.Client)
	seen := l.records.Observe(flowOf(open))
	switch {
	case open.Protocol == "UDP":
		carryDatagrams(conn, local, open.Kind == wire.FlowMirror, seen)
	case open.Kind == wire.FlowMirror:
		carryCopy(conn, local, seen)
	default:
		carry(conn, local, seen)
	}
}

// answer decides on a flow; with an accepting answer comes the connection to the program, except for probes.
func (l *listener) answer(open wire.Open) (wire.Answer, net.Conn) {
	ctx, cancel := context.WithTimeout(l.ctx, wire.OpenTimeout)
	defer cancel()
	target := l.find(ctx, open)
	if target == nil {
		return wire.Answer{Result: wire.NotIntercepted, Detail: "this laptop does not intercept that port"}, nil
	}
	absent := wire.Answer{Result: wire.NobodyListens, Detail: target.absent(), Local: target.address}
	accepted := wire.Answer{Result: wire.Accepted, Local: target.address}
	switch {
	case open.Kind == wire.FlowProbe:
		if !target.isListening(ctx) {
			return absent, nil
		}
		return accepted, nil
	case open.Protocol == "UDP":
		if !target.isListening(ctx) {
			return absent, nil
		}
		local, err := net.Dial("udp", target.address)
		if err != nil {
			return absent, nil
		}
		return accepted, local
	}
	local, err := target.dial(ctx)
	if err != nil {
		if !isRefused(err) {
			absent.Detail = fmt.Sprintf("%s does not answer", target.address)
		}
		return absent, nil
	}
	return accepted, local
}
