// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// askingSockets is how many sockets ask in turn, each whether it was answered or not.
	askingSockets = 32
	// socketLife is how long a socket asks. It is less than a program that leaves as it should goes on answering: all packets of
	// a socket go to the pod of the first.
	socketLife = 2 * time.Second
	// firstPort and lastPort of askers are below the ports that Linux gives by itself (ip_local_port_range). None is used twice
	// within minutes: a Service sends what comes from a port to the pod that was chosen for it, for as long as the kernel
	// remembers (nf_conntrack_udp_timeout_stream, 120 s), be that pod about to end.
	firstPort, lastPort = 10000, 29999
	// answerWithin is when a datagram, or its answer, counts as lost. Nothing repeats them.
	answerWithin = 3 * time.Second
)

// datagramAsker asks a server of datagrams. It is safe for concurrent use.
type datagramAsker struct {
	address string

	mu      sync.Mutex
	asked   int
	port    int // of the last socket; 0 if there was none
	sockets [askingSockets]*askingSocket
}

// askingSocket is a socket whose answers may come in any order.
type askingSocket struct {
	conn net.Conn
	born time.Time

	mu      sync.Mutex
	asked   int
	server  string                 // that answered last
	waiting map[string]chan string // servers, by message
	wrong   error                  // an answer that nobody waited for
}

// ask sends a datagram that no other is like, and returns who answered it.
func (a *datagramAsker) ask(ctx context.Context) (server string, err error) {
	socket, message, err := a.next(ctx)
	if err != nil {
		return "", err
	}
	return socket.ask(message)
}

// next returns the socket whose turn it is, with a message to send.
func (a *datagramAsker) next(ctx context.Context) (*askingSocket, string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	socket := &a.sockets[a.asked%askingSockets]
	if *socket == nil || time.Since((*socket).born) > socketLife {
		conn, err := a.dial(ctx)
		if err != nil {
			return nil, "", err
		}
		*socket = &askingSocket{conn: conn, born: time.Now(), waiting: map[string]chan string{}}
		go (*socket).read()
		time.AfterFunc(socketLife+answerWithin+time.Second, func() { _ = conn.Close() })
	}
	return *socket, fmt.Sprintf("datagram %d", a.asked), nil
}

// dial from the next port that is free. Where to begin is random, because two askers may follow each other soon.
func (a *datagramAsker) dial(ctx context.Context) (net.Conn, error) {
	if a.port == 0 {
		a.port = firstPort + rand.IntN(lastPort-firstPort)
	}
	for {
		if a.port++; a.port > lastPort {
			a.port = firstPort
		}
		conn, err := (&net.Dialer{LocalAddr: &net.UDPAddr{Port: a.port}}).DialContext(ctx, "udp", a.address)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return conn, err
		}
	}
}

func (s *askingSocket) ask(message string) (server string, err error) {
	answer := make(chan string, 1)
	s.mu.Lock()
	s.waiting[message] = answer
	s.asked++
	number, age := s.asked, time.Since(s.born)
	s.mu.Unlock()
	// An error says that an earlier datagram was refused.
	_, refused := s.conn.Write([]byte(message))
	if refused != nil {
		_, err = s.conn.Write([]byte(message))
	}
	select {
	case server := <-answer:
		s.mu.Lock()
		defer s.mu.Unlock()
		err, s.wrong = s.wrong, nil
		return server, err
	case <-time.After(answerWithin):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, message)
	lost := fmt.Errorf("no answer to %s, number %d of %s when it was %v old, last answered by %q",
		message, number, s.conn.LocalAddr(), age.Round(time.Millisecond), s.server)
	return "", errors.Join(lost, refused, err)
}

// read hands answers to who waits for them, until the socket is closed.
func (s *askingSocket) read() {
	buffer := make([]byte, 2048)
	for {
		n, err := s.conn.Read(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // an earlier datagram was refused
			continue
		}
		server, message, _ := strings.Cut(string(buffer[:n]), ": ")
		s.mu.Lock()
		s.server = server
		if answer := s.waiting[message]; answer != nil {
			answer <- server
			delete(s.waiting, message)
		} else {
			s.wrong = fmt.Errorf("an answer that nobody waited for, or for the second time: %q", buffer[:n])
		}
		s.mu.Unlock()
	}
}
