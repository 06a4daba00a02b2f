// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/redirect"
)

// Datagrams are the redirected datagrams of one port, see redirect.Datagrams.
type Datagrams interface {
	Read() (redirect.Datagram, error)
	Reply(to redirect.Datagram, payload []byte) error
	Close() error
}

const (
	// flowIdle is how long a client of UDP says nothing, and hears nothing, before it is forgotten.
	flowIdle = 60 * time.Second
	// maxFlows bounds the clients of one port. Datagrams of more are lost.
	maxFlows = 1024
	// maxWaiting bounds the datagrams of one client that wait for their way to be opened or written.
	maxWaiting = 32
	// maxDatagram is what fits behind two bytes of length.
	maxDatagram = 65535
)

// datagramFlows are the clients of one port of UDP.
type datagramFlows struct {
	duty      *Duty
	port      uint16
	datagrams Datagrams
	log       *slog.Logger

	mu       sync.Mutex
	rules    []wire.Rule
	counts   map[string]*flowCounts // by intercept
	flows    map[netip.AddrPort]*datagramFlow
	requests []wire.Request // flows that were decided on since the last report
	ended    context.Context
	end      context.CancelFunc
}

type flowCounts struct{ matched, fallenBack int64 }

// datagramFlow is one client.
type datagramFlow struct {
	first   redirect.Datagram
	waiting chan []byte
	last    atomic.Int64 // when something passed; Unix nanoseconds
}

// newDatagramFlows begins to take a port's datagrams. Its mutex may be taken with Duty's held, not the other way round.
func (d *Duty) newDatagramFlows(port uint16, datagrams Datagrams) *datagramFlows {
	f := &datagramFlows{
		duty: d, port: port, datagrams: datagrams, log: d.log,
		counts: map[string]*flowCounts{}, flows: map[netip.AddrPort]*datagramFlow{},
	}
	f.ended, f.end = context.WithCancel(context.Background())
	go f.run()
	return f
}

func (f *datagramFlows) setRules(rules []wire.Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = rules
}

func (f *datagramFlows) close() {
	f.end()
	if err := f.datagrams.Close(); err != nil {
		f.log.Warn("close the sockets of a port", "port", f.port, "error", err)
	}
}

// reports: counts by rule, flows since the call before, and how many clients there are.
func (f *datagramFlows) reports() ([]wire.InterceptReport, []wire.Request, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var reports []wire.InterceptReport
	for _, rule := range f.rules {
		counts := f.countsOf(rule.Intercept)
		reports = append(reports, wire.InterceptReport{
			Intercept: rule.Intercept, Port: f.port, Protocol: string(redirect.UDP),
			Matched: counts.matched, FallenBack: counts.fallenBack,
		})
	}
	requests := f.requests
	f.requests = nil
	return reports, requests, len(f.flows)
}

func (f *datagramFlows) countsOf(intercept string) *flowCounts {
	if f.counts[intercept] == nil {
		f.counts[intercept] = &flowCounts{}
	}
	return f.counts[intercept]
}

// run gives each datagram to the flow of its client.
func (f *datagramFlows) run() {
	for {
		datagram, err := f.datagrams.Read()
		if err != nil {
			return
		}
		flow := f.flow(datagram)
		if flow == nil {
			continue
		}
		select {
		case flow.waiting <- datagram.Payload:
		default: // lost, as in any full queue of datagrams
		}
	}
}

// flow returns the client's flow, a new one if need be; nil when there are too many.
func (f *datagramFlows) flow(datagram redirect.Datagram) *datagramFlow {
	f.mu.Lock()
	defer f.mu.Unlock()
	if flow := f.flows[datagram.Client]; flow != nil {
		return flow
	}
	if len(f.flows) >= maxFlows {
		return nil
	}
	flow := &datagramFlow{first: datagram, waiting: make(chan []byte, maxWaiting)}
	flow.touch()
	f.flows[datagram.Client] = flow
	rule, found := f.rule()
	go func() {
		f.serve(flow, rule, found)
		f.mu.Lock()
		delete(f.flows, datagram.Client)
		f.mu.Unlock()
	}()
	return flow
}

// rule that takes new flows: the first for all traffic. What can be said of requests does not apply to datagrams.
func (f *datagramFlows) rule() (wire.Rule, bool) {
	i := slices.IndexFunc(f.rules, func(r wire.Rule) bool { return r.Match == nil && !r.Suspended })
	if i < 0 {
		return wire.Rule{}, false
	}
	return f.rules[i], true
}

func (flow *datagramFlow) touch() { flow.last.Store(time.Now().UnixNano()) }

func (flow *datagramFlow) idleFor(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, flow.last.Load()))
}

// serve carries one client's datagrams to the laptop, or to the app; a mirrored flow to both.
func (f *datagramFlows) serve(flow *datagramFlow, rule wire.Rule, intercepted bool) {
	ctx, cancel := context.WithCancel(f.ended)
	defer cancel()
	var laptop Conn
	if intercepted {
		laptop = f.openLaptop(ctx, flow, rule)
	}
	var app net.Conn
	if laptop == nil || rule.Mirror {
		conn, err := f.duty.dialApp(ctx, "udp", f.port, flow.first.Target.Addr())
		if err != nil {
			f.log.Warn("datagrams for the app", "error", err)
		} else {
			app = conn
			defer func() { _ = conn.Close() }()
			go f.fromApp(flow, conn, cancel)
		}
	}
	if laptop != nil {
		defer func() { _ = laptop.Close() }()
		go f.fromLaptop(flow, laptop, rule.Mirror, cancel)
	}
	if app == nil && laptop == nil {
		return
	}
	f.forward(ctx, flow, app, laptop)
}

// openLaptop returns the way to the laptop, or nil if that does not take the flow.
func (f *datagramFlows) openLaptop(ctx context.Context, flow *datagramFlow, rule wire.Rule) Conn {
	kind, to := wire.FlowRaw, "laptop"
	if rule.Mirror {
		to = "mirror"
	}
	conn, answer, err := f.duty.pool.Open(ctx, wire.Open{
		Intercept: rule.Intercept, Port: f.port, Protocol: string(redirect.UDP), Kind: kind,
		Client: flow.first.Client, Target: flow.first.Target,
	})
	request := wire.Request{Intercept: rule.Intercept, At: time.Now(), To: to}
	f.mu.Lock()
	defer f.mu.Unlock()
	if conn != nil {
		f.countsOf(rule.Intercept).matched++
	} else {
		f.countsOf(rule.Intercept).fallenBack++
		request.To, request.Reason = "app", string(answer.Result)
		if err != nil {
			request.Reason = string(wire.LaptopAway)
		}
	}
	f.requests = latest(append(f.requests, request))
	return conn
}

// forward sends what the client sends, until the flow is idle or has ended.
func (f *datagramFlows) forward(ctx context.Context, flow *datagramFlow, app net.Conn, laptop Conn) {
	look := time.NewTicker(flowIdle / 4)
	defer look.Stop()
	for {
		select {
		case payload := <-flow.waiting:
			flow.touch()
			if app != nil {
				// An error says that an earlier datagram was refused; the client hears as little of that as of a lost one.
				_, _ = app.Write(payload)
			}
			if laptop != nil {
				if err := writeDatagram(laptop, payload); err != nil {
					return
				}
			}
		case now := <-look.C:
			if flow.idleFor(now) > flowIdle {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// fromApp answers the client with what the app sends.
func (f *datagramFlows) fromApp(flow *datagramFlow, app net.Conn, done func()) {
	buffer := make([]byte, maxDatagram)
	for {
		n, err := app.Read(buffer)
		if errors.Is(err, net.ErrClosed) {
			done()
			return
		}
		if err != nil {
			continue // refused: the app is not there at the moment
		}
		flow.touch()
		if err := f.datagrams.Reply(flow.first, buffer[:n]); err != nil {
			f.log.Debug("reply", "error", err)
		}
	}
}

// fromLaptop answers the client with what the laptop sends; answers to a copy are thrown away.
func (f *datagramFlows) fromLaptop(flow *datagramFlow, laptop net.Conn, mirror bool, done func()) {
	defer func() {
		if !mirror {
			done()
		}
	}()
	reader := bufio.NewReader(laptop)
	buffer := make([]byte, maxDatagram)
	for {
		payload, err := readDatagram(reader, buffer)
		if err != nil {
			return
		}
		if mirror {
			continue
		}
		flow.touch()
		if err := f.datagrams.Reply(flow.first, payload); err != nil {
			f.log.Debug("reply", "error", err)
		}
	}
}

// writeDatagram writes a datagram behind two bytes of length, in one piece.
func writeDatagram(w io.Writer, payload []byte) error {
	if len(payload) > maxDatagram {
		return errors.New("the datagram is too long")
	}
	frame := make([]byte, 2, 2+len(payload))
	binary.BigEndian.PutUint16(frame, uint16(len(payload)))
	_, err := w.Write(append(frame, payload...))
	return err
}

// readDatagram reads one into the buffer, which has room for any.
func readDatagram(r io.Reader, buffer []byte) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	payload := buffer[:binary.BigEndian.Uint16(length[:])]
	_, err := io.ReadFull(r, payload)
	return payload, err
}
