// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestBatch writes to sockets that take all, a part and nothing, by one call and by one each.
func TestBatch(t *testing.T) {
	for name, b := range map[string]*batch{"at once": newBatch(), "one each": new(batch)} {
		t.Run(name, func(t *testing.T) {
			pair := func() [2]int {
				pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = unix.Close(pair[0]); _ = unix.Close(pair[1]) })
				return pair
			}
			open, full, gone := pair(), pair(), pair()
			large := make([]byte, 16<<20)
			for write(full[0], large) > 0 {
			}
			_ = unix.Shutdown(gone[1], unix.SHUT_RDWR)
			sends := []send{{b: []byte("hello")}, {b: []byte("more")}, {b: []byte("lost")}, {b: []byte(", again")}}
			for i, fds := range [][2]int{open, full, gone, open} {
				sends[i].f = &steady{fds: fds}
			}
			for range 3 {
				b.write(sends)
				for i, want := range []int{5, -int(unix.EAGAIN), -int(unix.EPIPE), 7} {
					if got := sends[i].sent; got != want {
						t.Errorf("send %d: %d, want %d", i, got, want)
					}
				}
				got := make([]byte, 100)
				n, errno := read(open[1], got)
				if string(got[:n]) != "hello, again" || errno != 0 {
					t.Errorf("got %q, %v", got[:n], errno)
				}
			}
			part := pair()
			sends = []send{{b: large, f: &steady{fds: part}}, {b: []byte("hello"), f: &steady{fds: open}}}
			if b.write(sends); sends[0].sent <= 0 || sends[0].sent >= len(large) || sends[1].sent != 5 {
				t.Errorf("sent %d and %d", sends[0].sent, sends[1].sent)
			}
		})
	}
}
