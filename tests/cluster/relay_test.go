// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// shopPort is where the shop's programs listen.
const shopPort = 8080

// checkRelay reaches a developer's program from the machine, as the developer; others do not.
func checkRelay(t *testing.T, laptop *Laptop) {
	program := laptop.Command(t.Context(), Developer, "shop", "catalog")
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = program.Process.Kill()
		_ = program.Wait()
	}()
	ctx, cancel := context.WithCancel(t.Context())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- laptop.Relay(ctx, shopPort, []int{os.Getuid()}, func() { close(ready) })
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	err := poll(t.Context(), "the program through the relay", 10*time.Second, func() error {
		response, err := http.Get("http://127.0.0.1:8080/")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err == nil && !strings.Contains(string(body), "catalog") {
			err = errors.New(string(body))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if sockets := output(t, laptop, "root", "ss", "--tcp", "--extended", "--numeric", "dport", "=", ":8080"); !strings.Contains(sockets, "uid:1000") {
		t.Errorf("the connection is not the developer's:\n%s", sockets)
	}
	if err := laptop.Relay(ctx, shopPort, nil, func() {}); !errors.Is(err, ErrRelayed) {
		t.Errorf("relayed twice: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	ready = make(chan struct{})
	go func() { ended <- laptop.Relay(ctx, shopPort, []int{os.Getuid() + 1}, func() { close(ready) }) }()
	<-ready
	conn, err := net.Dial("tcp4", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("another user got through: %d, %v", n, err)
	}
	conn.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
