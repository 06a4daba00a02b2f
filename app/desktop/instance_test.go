// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

func instanceSocket(t *testing.T) string {
	if runtime.GOOS == "windows" {
		return `\\.\pipe\fairlead-test-` + filepath.Base(t.TempDir())
	}
	folder, err := os.MkdirTemp("", "fi") // a socket's name can have 104 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return InstanceSocket(filepath.Join(folder, "daemon.sock"))
}

func TestOneInstance(t *testing.T) {
	socket := instanceSocket(t)
	first, err := ClaimInstance(t.Context(), socket, Arguments{})
	if err != nil {
		t.Fatal(err)
	}
	for _, given := range []Arguments{{}, {Hidden: true}, {Link: "fairlead://doctor"}} {
		got := make(chan Arguments, 1)
		go func() { got <- <-first.Starts() }()
		if _, err := ClaimInstance(t.Context(), socket, given); !errors.Is(err, ErrHandedOver) {
			t.Fatalf("a second start: %v", err)
		}
		if a := <-got; a != given {
			t.Errorf("%+v arrived as %+v", given, a)
		}
	}
	first.Close()
	again, err := ClaimInstance(t.Context(), socket, Arguments{})
	if err != nil {
		t.Fatal("after the first has gone:", err)
	}
	again.Close()
}

// TestRubbishIsNoStart sends what no later start would, and then a start.
func TestRubbishIsNoStart(t *testing.T) {
	socket := instanceSocket(t)
	first, err := ClaimInstance(t.Context(), socket, Arguments{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	conn, err := localapi.Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	got := make(chan Arguments, 1)
	go func() { got <- <-first.Starts() }()
	if _, err := ClaimInstance(t.Context(), socket, Arguments{Hidden: true}); !errors.Is(err, ErrHandedOver) {
		t.Fatal(err)
	}
	select {
	case a := <-got:
		if a != (Arguments{Hidden: true}) {
			t.Errorf("%+v", a)
		}
	case <-time.After(handOverWithin):
		t.Error("nothing arrived")
	}
}
