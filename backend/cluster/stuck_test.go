// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// Of several connections only those are closed that wait for an answer.
func TestCloseStuck(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var o open
	dial := o.dial((&net.Dialer{}).DialContext)
	pair := func() (here, there net.Conn) {
		here, err := dial(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if there, err = listener.Accept(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { here.Close(); there.Close() })
		return here, there
	}
	idle, _ := pair()
	answered, server := pair()
	stuck, _ := pair()
	for _, conn := range []net.Conn{answered, stuck} {
		if _, err := conn.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := server.Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(answered, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	o.closeStuck(time.Now())
	if _, err := stuck.Write([]byte("?")); err != nil {
		t.Errorf("closed at once: %v", err)
	}
	o.closeStuck(time.Now().Add(2 * stuckAfter))
	if _, err := stuck.Write([]byte("?")); err == nil {
		t.Error("a stuck connection stays open")
	}
	for name, conn := range map[string]net.Conn{"idle": idle, "answered": answered} {
		if _, err := conn.Write([]byte("?")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(o.conns) != 2 {
		t.Errorf("%d connections are kept in mind", len(o.conns))
	}
	if _, err := o.dial(func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF })(t.Context(), "", ""); err != io.EOF {
		t.Errorf("a failed dial: %v", err)
	}
}
