// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

const (
	// perSocket is how many datagrams a socket asks, one after the other, before a new one takes its place.
	perSocket = 20
	// answerWithin is when a datagram, or its answer, counts as lost. Nothing repeats them.
	answerWithin = 3 * time.Second
)

// datagramAsker asks a server of datagrams. It is safe for concurrent use: each question has a socket of its own meanwhile.
type datagramAsker struct {
	address string

	mu    sync.Mutex
	asked int
	kept  []*askingSocket
}

type askingSocket struct {
	net.Conn
	asked int
}

// ask sends a datagram that no other is like, and returns who answered it.
func (a *datagramAsker) ask(ctx context.Context) (server string, err error) {
	socket, message, err := a.take(ctx)
	if err != nil {
		return "", err
	}
	_ = socket.SetDeadline(time.Now().Add(answerWithin))
	buffer := make([]byte, 2048)
	if _, err := socket.Write([]byte(message)); err != nil {
		_ = socket.Close()
		return "", err
	}
	n, err := socket.Read(buffer)
	if err != nil {
		_ = socket.Close()
		return "", fmt.Errorf("%w (datagram %d of %s)", err, socket.asked, socket.LocalAddr())
	}
	server, rest, _ := strings.Cut(string(buffer[:n]), ": ")
	if rest != message {
		_ = socket.Close()
		return server, differs("answer", rest, message)
	}
	a.keep(socket)
	return server, nil
}

func (a *datagramAsker) take(ctx context.Context) (*askingSocket, string, error) {
	a.mu.Lock()
	a.asked++
	message := fmt.Sprintf("datagram %d", a.asked)
	if last := len(a.kept) - 1; last >= 0 {
		socket := a.kept[last]
		a.kept = a.kept[:last]
		a.mu.Unlock()
		socket.asked++
		return socket, message, nil
	}
	a.mu.Unlock()
	conn, err := dial(ctx, "udp", a.address)
	if err != nil {
		return nil, "", err
	}
	return &askingSocket{conn, 1}, message, nil
}

func (a *datagramAsker) keep(socket *askingSocket) {
	if socket.asked >= perSocket {
		_ = socket.Close()
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept = append(a.kept, socket)
}
