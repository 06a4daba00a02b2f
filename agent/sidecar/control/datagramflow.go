// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/redirect"
)

// laptopReader is the buffer for the short datagrams of a laptop, in bytes; long ones are read past it.
const laptopReader = 512

// datagramFlow is one client of a port. Its state is serve's alone, but for waiting, last and answered.
type datagramFlow struct {
	of      *datagramFlows
	first   redirect.Datagram
	waiting chan []byte
	cancel  context.CancelFunc // ends it
	last    atomic.Int64       // when something passed; Unix nanoseconds
	// A client that asked once, and was answered, hardly asks again from the same port.
	received int
	answered atomic.Bool

	app    net.Conn   // nil until the app is needed
	laptop *laptopWay // nil while datagrams go to the app alone
	// decided is the intercept that was asked for last; empty if none was. If it did not take the flow, it is asked again at retry.
	decided string
	retry   time.Time
	asked   chan *laptopWay // the answer when it was asked again, possibly nil; itself nil if it was not
}

// laptopWay is a flow's way to a laptop.
type laptopWay struct {
	conn Conn
	rule wire.Rule
	stop func() bool   // has the end of the flow no longer close it
	done chan struct{} // closed when the laptop has ended it
}

func newDatagramFlow(of *datagramFlows, first redirect.Datagram) *datagramFlow {
	flow := &datagramFlow{of: of, first: first, waiting: make(chan []byte, maxWaiting)}
	flow.touch()
	return flow
}

func (flow *datagramFlow) touch() { flow.last.Store(time.Now().UnixNano()) }

func (flow *datagramFlow) idleFor(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, flow.last.Load()))
}

// serve carries the client's datagrams to the laptop, or to the app, as the rules are when they come; mirrored ones to both. It
// ends when the flow is idle, or with the context.
func (flow *datagramFlow) serve(ctx context.Context) {
	defer flow.cancel()
	defer flow.close()
	look := time.NewTicker(answerTime)
	defer look.Stop()
	for {
		var lost <-chan struct{}
		if flow.laptop != nil {
			lost = flow.laptop.done
		}
		select {
		case payload := <-flow.waiting:
			flow.touch()
			flow.received++
			flow.choose(ctx)
			flow.forward(ctx, payload)
		case way := <-flow.asked:
			flow.asked = nil
			flow.take(way)
		case <-lost:
			flow.laptop, flow.decided = nil, ""
		case now := <-look.C:
			flow.dismiss()
			if idle := flow.idleFor(now); idle > flowIdle || idle > answerTime && flow.received == 1 && flow.answered.Load() {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// close closes the way to the app; those to laptops end with the context.
func (flow *datagramFlow) close() {
	if flow.app != nil {
		_ = flow.app.Close()
	}
}

// choose makes the flow's way to a laptop that of the rule in force.
func (flow *datagramFlow) choose(ctx context.Context) {
	rule, found := flow.dismiss()
	switch {
	case !found || flow.laptop != nil || flow.asked != nil:
	case flow.decided != rule.Intercept:
		flow.decided = rule.Intercept
		flow.take(flow.open(ctx, rule))
	case time.Now().After(flow.retry):
		// Meanwhile the app has the datagrams, because the answer may take a while.
		asked := make(chan *laptopWay, 1)
		flow.asked = asked
		go func() { asked <- flow.open(ctx, rule) }()
	}
}

// dismiss lets go of a laptop that the rules no longer name: it gets nothing more, and has time to answer. It returns the rule
// in force.
func (flow *datagramFlow) dismiss() (wire.Rule, bool) {
	rule, found := flow.of.rule()
	if way := flow.laptop; way != nil && !(found && way.rule.Intercept == rule.Intercept && way.rule.Mirror == rule.Mirror) {
		flow.laptop, flow.decided = nil, ""
		time.AfterFunc(answerTime, func() { _ = way.conn.Close() })
	}
	return rule, found
}

// take uses the way from now on; nil says that the laptop did not take the flow.
func (flow *datagramFlow) take(way *laptopWay) {
	flow.laptop, flow.retry = way, time.Now().Add(retryTime)
	if way != nil {
		go flow.fromLaptop(way)
	}
}

// open returns a new way to the laptop, or nil if that does not take the flow.
func (flow *datagramFlow) open(ctx context.Context, rule wire.Rule) *laptopWay {
	conn, answer, err := flow.of.duty.pool.Open(ctx, wire.Open{
		Intercept: rule.Intercept, Port: flow.of.port, Protocol: string(redirect.UDP), Kind: wire.FlowRaw,
		Client: flow.first.Client, Target: flow.first.Target,
	})
	request := wire.Request{Intercept: rule.Intercept, At: time.Now(), To: "laptop"}
	switch {
	case conn == nil && err != nil:
		request.To, request.Reason = "app", string(wire.LaptopAway)
	case conn == nil:
		request.To, request.Reason = "app", string(answer.Result)
	case rule.Mirror:
		request.To = "mirror"
	}
	flow.of.count(request)
	if conn == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return &laptopWay{conn: conn, rule: rule, stop: stop, done: make(chan struct{})}
}

// forward sends a datagram to the laptop, the app, or both.
func (flow *datagramFlow) forward(ctx context.Context, payload []byte) {
	if flow.laptop != nil && writeDatagram(flow.laptop.conn, payload) != nil {
		_ = flow.laptop.conn.Close()
		flow.laptop, flow.decided = nil, ""
	}
	if flow.laptop != nil && !flow.laptop.rule.Mirror {
		return
	}
	if flow.app == nil {
		app, err := flow.of.duty.dialApp(ctx, "udp", flow.of.port, flow.first.Target.Addr())
		if err != nil {
			flow.of.log.Warn("datagrams for the app", "error", err)
			return
		}
		flow.app = app
		go flow.fromApp(app)
	}
	// An error says that an earlier datagram was refused; the client hears as little of that as of a lost one.
	_, _ = flow.app.Write(payload)
}

// fromApp answers the client with what the app sends.
func (flow *datagramFlow) fromApp(app net.Conn) {
	for {
		err := readSocket(app, flow.reply)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// Any other error says that the app is not there at the moment.
	}
}

// fromLaptop answers the client with what the laptop sends; answers to a copy are thrown away.
func (flow *datagramFlow) fromLaptop(way *laptopWay) {
	defer func() {
		way.stop()
		_ = way.conn.Close()
		close(way.done)
	}()
	answer := flow.reply
	if way.rule.Mirror {
		answer = func([]byte) {}
	}
	reader := bufio.NewReaderSize(way.conn, laptopReader)
	for {
		if err := receiveDatagram(reader, answer); err != nil {
			return
		}
	}
}

func (flow *datagramFlow) reply(payload []byte) {
	flow.touch()
	flow.answered.Store(true)
	if err := flow.of.datagrams.Reply(flow.first, payload); err != nil {
		flow.of.log.Debug("reply", "error", err)
	}
}
