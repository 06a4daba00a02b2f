// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/fairlead-dev/fairlead/agent/redirect"
)

// outcome of one call.
type outcome struct {
	began time.Time
	who   string // app or sidecar
	err   error
}

// callAllTheTime calls from outside the pod, each time on a new connection and whether the calls before have been answered or
// not, until it is told to stop.
func callAllTheTime(t testing.TB, address string, stop <-chan struct{}) <-chan []outcome {
	t.Helper()
	const pause = 300 * time.Microsecond
	done := make(chan []outcome, 1)
	begun := make(chan struct{})
	go func() {
		runtime.LockOSThread() // the thread is not used again
		if err := netns.Set(outer); err != nil {
			t.Error(err)
		}
		var list []*outcome
		var open sync.WaitGroup
		for more := true; more; {
			o := &outcome{began: time.Now()}
			list = append(list, o)
			conn, err := net.DialTimeout("tcp", address, patience)
			if err != nil {
				o.err = err
			} else {
				open.Go(func() { o.who, o.err = greet(conn, patience) })
			}
			if len(list) == 10 {
				close(begun)
			}
			select {
			case <-stop:
				more = false
			case <-time.After(pause):
			}
		}
		open.Wait()
		outcomes := make([]outcome, len(list))
		for i, o := range list {
			outcomes[i] = *o
		}
		done <- outcomes
	}()
	<-begun
	return done
}

// once says who answers one call, made by this thread.
func once(address string, limit time.Duration) (string, error) {
	conn, err := net.DialTimeout("tcp", address, limit)
	if err != nil {
		return "", err
	}
	return greet(conn, limit)
}

// greet sends a line and says who answers it.
func greet(conn net.Conn, limit time.Duration) (string, error) {
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		return "", err
	}
	answer, err := readLine(conn)
	who, _, _ := strings.Cut(answer, " ")
	return who, err
}

// eventually calls until the one who is wanted answers, and returns how long that took.
func eventually(t *testing.T, port uint16, want string) time.Duration {
	t.Helper()
	const each = 100 * time.Millisecond
	began := time.Now()
	for {
		type answer struct {
			who string
			err error
		}
		done := make(chan answer)
		go func() {
			runtime.LockOSThread() // the thread is not used again
			if err := netns.Set(outer); err != nil {
				t.Error(err)
			}
			who, err := once(fmt.Sprintf("%s:%d", podIPv4, port), each)
			done <- answer{who, err}
		}()
		got := <-done
		if got.who == want {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			t.Fatalf("the %s does not answer: %+v", want, got)
		}
	}
}

// TestStoppedSidecarIsPassed: new connections reach the app soon after the process stands still, and the sidecar again when it
// goes on.
func TestStoppedSidecarIsPassed(t *testing.T) {
	app(t, 8096)
	process, said := startSidecar(t, 8096, 0)
	if said != "<nil>" {
		t.Fatal(said)
	}
	for range 2 {
		expect(t, call(t, "tcp", podIPv4, 8096), "sidecar")
		if err := process.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		t.Logf("the app answers after %v", eventually(t, 8096, "app"))
		expect(t, call(t, "tcp", podIPv6, 8096), "app")
		if err := process.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		t.Logf("the sidecar answers after %v", eventually(t, 8096, "sidecar"))
		expect(t, call(t, "tcp", podIPv6, 8096), "sidecar")
	}
}

// TestSidecarThatAcceptsNothingIsPassed: it runs, but its callers wait in vain.
func TestSidecarThatAcceptsNothingIsPassed(t *testing.T) {
	app(t, 8097)
	r, err := redirect.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	set(t, r, tcp(8097))
	t.Logf("the app answers after %v", eventually(t, 8097, "app"))
	for _, listener := range r.Listeners() {
		go serve(listener, "sidecar", nil)
	}
	t.Logf("the sidecar answers after %v", eventually(t, 8097, "sidecar"))
}

// TestCallersOfAKilledSidecar: who calls while it dies reaches the app. Only what is inside it in the moment of the signal is lost.
func TestCallersOfAKilledSidecar(t *testing.T) {
	const kills = 10
	app(t, 8098)
	lost := 0
	for range kills {
		failed, _ := kill(t, 8098)
		lost += failed
	}
	if lost > 4*kills { // on a busy machine even that takes a moment
		t.Errorf("%d callers were lost in %d kills", lost, kills)
	}
}

// BenchmarkKill measures what callers see of a sidecar that is killed: how many calls that began after that were lost, and for
// how long.
func BenchmarkKill(b *testing.B) {
	app(b, 8095)
	var window time.Duration
	lost := 0
	for b.Loop() {
		failed, long := kill(b, 8095)
		lost += failed
		window += long
	}
	b.ReportMetric(float64(window.Microseconds())/float64(b.N), "µs-lost/op")
	b.ReportMetric(float64(lost)/float64(b.N), "lost/op")
}

// kill starts a sidecar, kills it while callers come all the time, and returns how many of those that came after that were
// lost, and for how long.
func kill(t testing.TB, port uint16) (lost int, long time.Duration) {
	t.Helper()
	process, said := startSidecar(t, port, 0)
	if said != "<nil>" {
		t.Fatal(said)
	}
	stop := make(chan struct{})
	done := callAllTheTime(t, fmt.Sprintf("%s:%d", podIPv4, port), stop)
	killed := time.Now()
	if err := process.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	expect(t, call(t, "tcp", podIPv4, port), "app")
	close(stop)
	for _, o := range <-done {
		if o.err != nil && o.began.After(killed) {
			lost++
			long = o.began.Sub(killed)
		}
	}
	return lost, long
}
