// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Datagrams are the sockets that have the redirected datagrams of one port. They are safe for concurrent use.
type Datagrams struct {
	redirect *Redirect
	port     uint16
	ipv4     *ipv4.PacketConn
	ipv6     *ipv6.PacketConn
	indices  map[uint32]uint32 // in the map sockets, by family
	arrived  chan Datagram
	done     chan struct{}
	once     sync.Once
}

// Datagram is one that a client sent to the app.
type Datagram struct {
	Client, Target netip.AddrPort
	Payload        []byte
}

const (
	maxDatagram = 65535
	// queueDatagrams is how many wait for their reader; what comes then is lost, as in any full receive buffer.
	queueDatagrams = 64
)

// Datagrams opens the sockets for a port's datagrams, or returns those it has opened. Until Set redirects the port, none come.
func (r *Redirect) Datagrams(port uint16) (*Datagrams, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, net.ErrClosed
	}
	if d, ok := r.datagrams[port]; ok {
		return d, nil
	}
	if err := r.attachEgress(); err != nil {
		return nil, err
	}
	sockets, err := listenUDP(port)
	if err != nil {
		return nil, err
	}
	d := &Datagrams{
		redirect: r, port: port, indices: map[uint32]uint32{},
		arrived: make(chan Datagram, queueDatagrams), done: make(chan struct{}),
	}
	for _, socket := range sockets {
		if err = errors.Join(err, d.take(socket)); err != nil {
			_ = socket.Close()
		}
	}
	if err != nil {
		_ = d.closeSockets()
		return nil, err
	}
	r.datagrams[port] = d
	return d, nil
}

// take prepares a socket, and has it in the map.
func (d *Datagrams) take(socket *net.UDPConn) error {
	index, err := d.redirect.freeIndex()
	if err != nil {
		return err
	}
	if err := d.redirect.store(index, socket); err != nil {
		return err
	}
	if socket.LocalAddr().(*net.UDPAddr).IP.To4() != nil {
		d.ipv4 = ipv4.NewPacketConn(socket)
		d.indices[familyIPv4] = index
		if err := d.ipv4.SetControlMessage(ipv4.FlagDst, true); err != nil {
			return fmt.Errorf("ask for the address that is called: %w", err)
		}
		go d.receive(func(buffer []byte) (int, net.Addr, net.IP, error) {
			n, control, from, err := d.ipv4.ReadFrom(buffer)
			if control == nil {
				return n, from, nil, err
			}
			return n, from, control.Dst, err
		})
		return nil
	}
	d.ipv6 = ipv6.NewPacketConn(socket)
	d.indices[familyIPv6] = index
	if err := d.ipv6.SetControlMessage(ipv6.FlagDst, true); err != nil {
		return fmt.Errorf("ask for the address that is called: %w", err)
	}
	go d.receive(func(buffer []byte) (int, net.Addr, net.IP, error) {
		n, control, from, err := d.ipv6.ReadFrom(buffer)
		if control == nil {
			return n, from, nil, err
		}
		return n, from, control.Dst, err
	})
	return nil
}

func (r *Redirect) freeIndex() (uint32, error) {
	for index := uint32(indexUDP); index < maxSockets; index++ {
		if !r.used[index] {
			return index, nil
		}
	}
	return 0, fmt.Errorf("redirect datagrams: more than %d sockets", maxSockets)
}

func (d *Datagrams) receive(read func([]byte) (int, net.Addr, net.IP, error)) {
	buffer := make([]byte, maxDatagram)
	for {
		n, from, called, err := read(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier reply
		}
		target, _ := netip.AddrFromSlice(called)
		datagram := Datagram{
			Client: from.(*net.UDPAddr).AddrPort(), Target: netip.AddrPortFrom(target.Unmap(), d.port),
			Payload: append([]byte(nil), buffer[:n]...),
		}
		datagram.Client = netip.AddrPortFrom(datagram.Client.Addr().Unmap(), datagram.Client.Port())
		select {
		case d.arrived <- datagram:
		case <-d.done:
			return
		default:
		}
	}
}

// Read waits for a datagram. After Close it returns net.ErrClosed.
func (d *Datagrams) Read() (Datagram, error) {
	select {
	case datagram := <-d.arrived:
		return datagram, nil
	case <-d.done:
		return Datagram{}, net.ErrClosed
	}
}

// Reply sends a datagram to the client that sent the given one, from the address and port that the client called.
func (d *Datagrams) Reply(to Datagram, payload []byte) error {
	client, source := net.UDPAddrFromAddrPort(to.Client), net.IP(to.Target.Addr().AsSlice())
	var err error
	switch {
	case to.Client.Addr().Is4() && d.ipv4 != nil:
		_, err = d.ipv4.WriteTo(payload, &ipv4.ControlMessage{Src: source}, client)
	case to.Client.Addr().Is6() && d.ipv6 != nil:
		_, err = d.ipv6.WriteTo(payload, &ipv6.ControlMessage{Src: source}, client)
	default:
		err = net.ErrClosed
	}
	if err != nil {
		return fmt.Errorf("reply to %s: %w", to.Client, err)
	}
	return nil
}

// Close closes the sockets; the port is not redirected then.
func (d *Datagrams) Close() error {
	r := d.redirect
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.datagrams[d.port] != d {
		return nil
	}
	var errs []error
	for family, index := range d.indices {
		key := key(protocolUDP, family, d.port)
		if _, on := r.on[key]; on {
			errs = append(errs, r.programs.Maps[portsName].Delete(key))
			delete(r.on, key)
		}
		// Closing the socket takes it out of the map as well.
		if err := r.programs.Maps[socketsName].Delete(index); !errors.Is(err, ebpf.ErrKeyNotExist) {
			errs = append(errs, err)
		}
		delete(r.used, index)
	}
	delete(r.datagrams, d.port)
	return errors.Join(append(errs, d.closeSockets())...)
}

func (d *Datagrams) closeSockets() error {
	d.once.Do(func() { close(d.done) })
	var errs []error
	if d.ipv4 != nil {
		errs = append(errs, d.ipv4.Close())
	}
	if d.ipv6 != nil {
		errs = append(errs, d.ipv6.Close())
	}
	return errors.Join(errs...)
}

// attachEgress makes replies leave from the app's port, on every device but loopback. It does so once.
func (r *Redirect) attachEgress() error {
	if r.egress != nil {
		return nil
	}
	devices, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list the pod's network devices: %w", err)
	}
	for _, device := range devices {
		if device.Flags&net.FlagLoopback != 0 {
			continue
		}
		attachment, err := attachTo(device)
		if err != nil {
			for _, other := range r.egress {
				_ = other.Close()
			}
			r.egress = nil
			return explain("attach the BPF program for replies of UDP to "+device.Name, "tcx", "6.6", err)
		}
		r.egress = append(r.egress, attachment)
	}
	return nil
}

// ethernetHeader is the length of the header of devices with hardware addresses (IEEE 802.3), in bytes.
const ethernetHeader = 14

func attachTo(device net.Interface) (link.Link, error) {
	network := int32(0)
	if len(device.HardwareAddr) > 0 {
		network = ethernetHeader
	}
	program, err := ebpf.NewProgram(egress(network))
	if err != nil {
		return nil, err
	}
	defer func() { _ = program.Close() }()
	return link.AttachTCX(link.TCXOptions{Interface: device.Index, Program: program, Attach: ebpf.AttachTCXEgress})
}
