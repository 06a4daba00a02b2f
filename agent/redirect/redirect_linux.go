// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
)

// Redirect is the attachment to the network namespace of this process. It is safe for concurrent use.
type Redirect struct {
	listeners []*listener
	alive     *life

	mu         sync.Mutex
	programs   *ebpf.Collection
	attachment link.Link
	egress     []link.Link
	datagrams  map[uint16]*Datagrams
	on         map[uint32]uint32 // what the map ports holds
	used       map[uint32]bool   // indices of the map sockets
	closed     bool
}

// Open opens the listening sockets for connections, one for each IP family that the pod has, and attaches the program. It
// redirects nothing yet. Its errors say what is missing.
func Open() (*Redirect, error) {
	// Kernels before 5.11 charge maps to a limit; with too little of it, creating them says so below.
	_ = rlimit.RemoveMemlock()
	programs, err := ebpf.NewCollection(lookup())
	if err != nil {
		return nil, explain("load the BPF program", "sk_lookup", "5.9", err)
	}
	alive, err := newLife(programs.Maps[lifeName])
	if err != nil {
		programs.Close()
		return nil, explain("share the sign of life", "maps in memory", "5.5", err)
	}
	r := &Redirect{programs: programs, alive: alive, datagrams: map[uint16]*Datagrams{}, on: map[uint32]uint32{}, used: map[uint32]bool{}}
	if err := r.open(); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Redirect) open() error {
	listeners, err := listenTCP()
	if err != nil {
		return err
	}
	for _, socket := range listeners {
		r.listeners = append(r.listeners, &listener{TCPListener: socket})
		if err := r.store(socketIndex(socket.Addr()), socket); err != nil {
			return err
		}
	}
	namespace, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return fmt.Errorf("open the pod's network namespace: %w", err)
	}
	defer func() { _ = namespace.Close() }()
	attachment, err := link.AttachNetNs(int(namespace.Fd()), r.programs.Programs[lookupName])
	if err != nil {
		return explain("attach the BPF program", "sk_lookup", "5.9", err)
	}
	r.attachment = attachment
	return nil
}

// Indices of the listening sockets in the map; datagram sockets come behind.
const (
	indexTCP4 = iota
	indexTCP6
	indexUDP
)

func socketIndex(addr net.Addr) uint32 {
	if addr.(*net.TCPAddr).IP.To4() != nil {
		return indexTCP4
	}
	return indexTCP6
}

// store puts a socket into the map. It takes the descriptor itself: a duplicate's (File) would make the socket blocking, so
// that Accept could not be ended by Close any more.
func (r *Redirect) store(index uint32, socket syscall.Conn) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("redirect to a socket: %w", err)
	}
	var putErr error
	if err := raw.Control(func(descriptor uintptr) {
		putErr = r.programs.Maps[socketsName].Put(index, uint64(descriptor))
	}); err != nil {
		return fmt.Errorf("redirect to a socket: %w", err)
	}
	if putErr != nil {
		return explain("redirect to a socket", "socket maps", "5.9", putErr)
	}
	r.used[index] = true
	return nil
}

// Listeners have the redirected connections, which are *net.TCPConn. The local address of one is the one that was called.
// Whoever uses the Redirect accepts all the time: while connections wait for it, nothing is redirected any more after 1.5 s. They
// are closed by Close.
func (r *Redirect) Listeners() []net.Listener {
	var list []net.Listener
	for _, l := range r.listeners {
		list = append(list, l)
	}
	return list
}

// Set makes the ports, and no others, redirected. Each port changes at once; connections that exist stay where they are. For a
// port of UDP, Datagrams must have been called. After an error each port is as before or as asked.
//
// Redirects are in force while this process gives signs of life, which it does by itself as long as it runs.
func (r *Redirect) Set(ports []Port) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return net.ErrClosed
	}
	wanted := map[uint32]uint32{}
	for _, port := range ports {
		if r.owns(port) {
			return fmt.Errorf("redirect %s: that is the port the sidecar itself has open", port)
		}
		for _, key := range port.keys() {
			index, ok := r.index(port, key)
			if ok {
				wanted[key] = index
			}
		}
	}
	table := r.programs.Maps[portsName]
	for key := range r.on {
		if _, stays := wanted[key]; stays {
			continue
		}
		if err := table.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("end a redirect: %w", err)
		}
		delete(r.on, key)
	}
	if err := r.alive.set(len(wanted) > 0, r.listeners); err != nil {
		return err
	}
	for key, index := range wanted {
		if present, there := r.on[key]; there && present == index {
			continue
		}
		if err := table.Put(key, index); err != nil {
			return fmt.Errorf("begin a redirect: %w", err)
		}
		r.on[key] = index
	}
	return nil
}

// owns reports whether the port is one of the listening sockets' own.
func (r *Redirect) owns(port Port) bool {
	for _, listener := range r.listeners {
		if port.Protocol == TCP && listener.Addr().(*net.TCPAddr).Port == int(port.Number) {
			return true
		}
	}
	return false
}

// index of the socket that takes what the key stands for, if there is one.
func (r *Redirect) index(port Port, key uint32) (uint32, bool) {
	family := key >> 16 & 0xff
	if port.Protocol == UDP {
		d, ok := r.datagrams[port.Number]
		if !ok {
			return 0, false
		}
		index, ok := d.indices[family]
		return index, ok
	}
	index := uint32(indexTCP4)
	if family == familyIPv6 {
		index = indexTCP6
	}
	return index, r.used[index]
}

// Close ends every redirect and closes all sockets that the Redirect opened. Accepted connections stay.
func (r *Redirect) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	errs := []error{r.alive.close()}
	if r.attachment != nil {
		errs = append(errs, r.attachment.Close())
	}
	for _, d := range r.datagrams {
		errs = append(errs, d.closeSockets())
	}
	for _, attachment := range r.egress {
		errs = append(errs, attachment.Close())
	}
	for _, listener := range r.listeners {
		errs = append(errs, listener.Close())
	}
	r.programs.Close()
	return errors.Join(errs...)
}
