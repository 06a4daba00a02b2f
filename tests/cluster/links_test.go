// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func checkLinks(t *testing.T, c *Cluster) {
	laptop, ctx := c.Laptop(0), t.Context()
	if err := c.Apply(ctx, strings.NewReader(nodePorts)); err != nil {
		t.Fatal(err)
	}
	node := c.Node(0).IPv4.String()
	var flow net.Conn
	err := poll(ctx, "NodePort", 20*time.Second, func() (err error) {
		flow, err = laptop.Dial(ctx, "tcp", net.JoinHostPort(node, "30700"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer flow.Close()
	datagrams, err := laptop.Dial(ctx, "udp", net.JoinHostPort(node, "30007"))
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	echoes(t, "TCP", flow, 10*time.Second)
	echoes(t, "UDP", datagrams, 10*time.Second)

	must(laptop.Impair(ctx, Impairment{Delay: 10 * time.Millisecond, Rate: 200e6}))
	if took := echoes(t, "TCP with a delay", flow, 10*time.Second); took < 20*time.Millisecond {
		t.Errorf("10 ms each way, yet back after %s", took)
	}
	must(laptop.Impair(ctx, Impairment{Loss: 1}))
	silent(t, "a link that loses everything", datagrams)
	must(laptop.ClearImpairment(ctx))
	echoes(t, "TCP after the impairment", flow, 10*time.Second)

	must(laptop.BlockUDP(ctx))
	silent(t, "blocked UDP", datagrams)
	echoes(t, "TCP while UDP is blocked", flow, 10*time.Second)
	must(laptop.UnblockUDP(ctx))
	echoes(t, "UDP unblocked", datagrams, 10*time.Second)

	for name, cut := range map[string]func(context.Context) error{"cut": laptop.Cut, "unplug": laptop.Unplug} {
		before := output(t, laptop, "root", "ip", "-6", "route", "show", "default")
		must(cut(ctx))
		silent(t, name, datagrams)
		must(laptop.Restore(ctx))
		echoes(t, "TCP after "+name, flow, 20*time.Second)
		if after := output(t, laptop, "root", "ip", "-6", "route", "show", "default"); after != before {
			t.Errorf("after %s the default route is %q, was %q", name, after, before)
		}
	}
}

// echoes sends a message until it comes back, and returns how long the last one took.
func echoes(t *testing.T, what string, conn net.Conn, limit time.Duration) time.Duration {
	t.Helper()
	var took time.Duration
	message := []byte("echo of " + what)
	err := poll(t.Context(), what, limit, func() error {
		began := time.Now()
		if _, err := conn.Write(message); err != nil {
			return err
		}
		window := 500 * time.Millisecond
		if conn.RemoteAddr().Network() == "tcp" {
			window = limit // the kernel repeats it
		}
		if err := conn.SetReadDeadline(began.Add(window)); err != nil {
			return err
		}
		answer := make([]byte, len(message))
		if _, err := io.ReadFull(conn, answer); err != nil {
			return err
		}
		took = time.Since(began)
		if !bytes.Equal(answer, message) {
			return errors.New("something else came back: " + string(answer))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return took
}

// silent checks that a datagram gets no answer. Answers to earlier ones may still come: a link that is back delivers what
// waited for it.
func silent(t *testing.T, what string, conn net.Conn) {
	t.Helper()
	message := []byte("anyone there? " + what)
	_, _ = conn.Write(message) // an error is silence too
	if err := conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 100)
	for {
		size, err := conn.Read(answer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if bytes.Equal(answer[:size], message) {
			t.Errorf("%s: the datagram came back", what)
			return
		}
	}
}

func pipes(t *testing.T, command *exec.Cmd) (io.WriteCloser, io.Reader) {
	t.Helper()
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return stdin, stdout
}
