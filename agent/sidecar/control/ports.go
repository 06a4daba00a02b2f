// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/redirect"
)

type portName struct {
	protocol string
	number   uint16
}

func nameOf(o wire.PortOrder) portName { return portName{o.Protocol, o.Port} }

// port is the state of one port of the order.
type port struct {
	order    wire.PortOrder
	open     redirect.Families // where the app listens
	on       redirect.Families // what is redirected
	takeover *takeover
	listener net.Listener   // of the unprivileged way
	flows    *datagramFlows // of UDP
	problem  string
}

// settle makes the machine agree with the order. New rules are in place before a redirect is; old ones stay until it is gone.
// The proxy hears of rules only if they changed.
func (d *Duty) settle(changed bool) {
	table, err := d.kernel.Listening()
	if err != nil {
		d.log.Error("nothing is redirected", "error", err)
		table = redirect.Table{}
	}
	orders := d.effective()
	d.keepPorts(orders, table)
	wanted := d.wanted()
	d.setRedirects(func(p *port) redirect.Families { return both(p.on, wanted[p]) })
	if changed {
		tcp := slices.DeleteFunc(slices.Clone(orders), func(o wire.PortOrder) bool { return o.Protocol != string(redirect.TCP) })
		if d.wrong = d.proxy.SetPorts(tcp, d.podAddresses, d.order.NodeAddresses); d.wrong != nil {
			d.log.Error("rules are wrong", "error", d.wrong)
		}
		d.probes.set(orders)
	}
	d.setRedirects(func(p *port) redirect.Families { return wanted[p] })
	for _, p := range d.ports {
		d.listen(p)
		d.takeOver(p)
		if p.flows != nil {
			p.flows.setRedirected(p.on.Any())
		}
	}
	if report := d.portReports(); !reflect.DeepEqual(report, d.reported) {
		d.reported = report
		d.poke()
	}
}

// effective are the order's ports, with all rules suspended while the gateway is not heard, and in the end.
func (d *Duty) effective() []wire.PortOrder {
	orders := slices.Clone(d.order.Ports)
	if d.heard && !d.ended {
		return orders
	}
	for i := range orders {
		orders[i].Rules = slices.Clone(orders[i].Rules)
		for j := range orders[i].Rules {
			orders[i].Rules[j].Suspended = true
		}
	}
	return orders
}

// keepPorts makes d.ports those of the orders.
func (d *Duty) keepPorts(orders []wire.PortOrder, table redirect.Table) {
	stay := map[portName]bool{}
	for _, o := range orders {
		name := nameOf(o)
		stay[name] = true
		if d.ports[name] == nil {
			d.ports[name] = &port{}
		}
		d.ports[name].order = o
		d.ports[name].open = table.Open(redirect.Protocol(o.Protocol), o.Port)
	}
	for name, p := range d.ports {
		if stay[name] {
			continue
		}
		if p.order.Takeover != "" {
			d.lastTakeover = p.order.Takeover
		}
		// Its redirect goes with the next setRedirects, which no longer sees it.
		p.release()
		if p.flows != nil {
			p.flows.letGo()
			d.leaving[p.order.Port] = p.flows
		}
		delete(d.ports, name)
	}
}

// active reports whether any rule of the port is to take something.
func (p *port) active() bool {
	return slices.ContainsFunc(p.order.Rules, func(r wire.Rule) bool { return !r.Suspended })
}

// wanted says what is to be redirected, and opens what that needs.
func (d *Duty) wanted() map[*port]redirect.Families {
	wanted := map[*port]redirect.Families{}
	for _, p := range d.ports {
		p.problem = ""
		if p.order.Listen != 0 || !p.active() {
			continue
		}
		if !p.open.Any() {
			p.problem = fmt.Sprintf("the app does not listen on port %d", p.order.Port)
			continue
		}
		if err := d.prepare(p); err != nil {
			p.problem = err.Error()
			continue
		}
		wanted[p] = p.open
	}
	return wanted
}

// prepare opens the sockets to which the port's callers are redirected.
func (d *Duty) prepare(p *port) error {
	if d.redirect == nil && d.refused == nil {
		d.openRedirect()
	}
	if d.redirect == nil {
		return d.refused
	}
	if p.order.Protocol != string(redirect.UDP) {
		return nil
	}
	if p.flows == nil {
		p.flows = d.leaving[p.order.Port]
		delete(d.leaving, p.order.Port)
	}
	if p.flows == nil {
		datagrams, err := d.redirect.Datagrams(p.order.Port)
		if err != nil {
			return err
		}
		p.flows = d.newDatagramFlows(p.order.Port, datagrams)
	}
	p.flows.setRules(p.order.Rules)
	return nil
}

func (d *Duty) openRedirect() {
	opened, err := d.kernel.Redirect()
	if err != nil {
		d.log.Error("nothing can be redirected", "error", err)
		d.refused = err
		return
	}
	d.redirect = opened
	for _, listener := range opened.Listeners() {
		go d.accept(listener, func(conn net.Conn) uint16 { return uint16(conn.LocalAddr().(*net.TCPAddr).Port) })
	}
}

// accept hands connections to the proxy until the listener is closed.
func (d *Duty) accept(listener net.Listener, port func(net.Conn) uint16) {
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			d.proxy.Serve(port(conn), conn)
		case errors.Is(err, net.ErrClosed):
			return
		default: // such as too many open files
			d.log.Warn("accept a connection", "error", err)
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// setRedirects redirects of each port what is said, and nothing else.
func (d *Duty) setRedirects(families func(*port) redirect.Families) {
	if d.redirect == nil {
		return
	}
	var ports []redirect.Port
	for _, p := range d.ports {
		p.on = families(p)
		if p.on.Any() {
			ports = append(ports, redirect.Port{Protocol: redirect.Protocol(p.order.Protocol), Number: p.order.Port, Families: p.on})
		}
	}
	err := d.redirect.Set(ports)
	if err == nil {
		return
	}
	d.log.Error("set redirects", "error", err)
	for _, p := range d.ports {
		if p.on.Any() {
			p.on, p.problem = redirect.Families{}, err.Error()
		}
	}
}

func both(a, b redirect.Families) redirect.Families {
	return redirect.Families{IPv4: a.IPv4 && b.IPv4, IPv6: a.IPv6 && b.IPv6}
}

// listen accepts callers itself, in the unprivileged way: for as long as the port is ordered, because a Service may send them.
func (d *Duty) listen(p *port) {
	if p.listener != nil && p.listener.Addr().(*net.TCPAddr).Port != int(p.order.Listen) {
		_ = p.listener.Close()
		p.listener = nil
	}
	if p.order.Listen == 0 {
		return
	}
	if p.listener == nil {
		var config net.ListenConfig
		config.SetMultipathTCP(false)
		listener, err := config.Listen(context.Background(), "tcp", ":"+strconv.Itoa(int(p.order.Listen)))
		if err != nil {
			p.problem = fmt.Sprintf("the sidecar can't listen on port %d: %v", p.order.Listen, err)
			return
		}
		p.listener = listener
		number := p.order.Port
		go d.accept(listener, func(net.Conn) uint16 { return number })
	}
	if !p.open.Any() {
		p.problem = fmt.Sprintf("the app does not listen on port %d", p.order.Port)
	}
}

// redirected reports whether callers reach the sidecar.
func (p *port) redirected() bool { return p.listener != nil || p.on.Any() }

// release closes what the port has open, but for callers' connections and flows.
func (p *port) release() {
	p.takeover.stop()
	if p.listener != nil {
		_ = p.listener.Close()
	}
}

// portReports in the order of ports.
func (d *Duty) portReports() []wire.PortReport {
	var reports []wire.PortReport
	for _, o := range d.order.Ports {
		p := d.ports[nameOf(o)]
		report := wire.PortReport{
			Port: o.Port, Protocol: o.Protocol, Redirected: p.redirected(), AppListens: p.open.Any(), Problem: p.problem,
		}
		if report.Problem == "" && d.wrong != nil {
			report.Problem = d.wrong.Error()
		}
		if p.takeover != nil {
			report.Bypassing = p.takeover.bypassing
			if report.Problem == "" {
				report.Problem = p.takeover.problem
			}
		}
		reports = append(reports, report)
	}
	return reports
}

// Report is what the gateway is told. Requests are told once.
func (d *Duty) Report() wire.Report {
	rules, requests, open := d.proxy.Reports()
	d.mu.Lock()
	defer d.mu.Unlock()
	report := wire.Report{Revision: d.order.Revision, Ports: d.portReports(), Rules: rules, Open: open}
	requests, d.untold = append(d.untold, requests...), nil
	datagrams := 0
	for _, p := range d.ports {
		if p.flows != nil {
			rules, more, open := p.flows.reports()
			report.Rules = append(report.Rules, rules...)
			requests = append(requests, more...)
			datagrams += open
		}
	}
	for _, flows := range d.leaving {
		_, _, open := flows.reports()
		datagrams += open
	}
	if !d.podEnds { // nobody tells a client of UDP to go, so the pod can't wait for it
		report.Open += datagrams
	}
	report.Requests = latest(requests)
	report.Rules = d.probes.fill(report.Rules, d.order.Ports)
	return report
}

// Open is how many connections of callers there are.
func (d *Duty) Open() int {
	report := d.Report()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.untold = latest(append(report.Requests, d.untold...))
	return report.Open
}

func latest(requests []wire.Request) []wire.Request {
	return requests[max(0, len(requests)-wire.MaxRequests):]
}
