// SPDX-License-Identifier: Apache-2.0

package redirect

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/fairlead-dev/fairlead/agent/redirect"
)

// outcome of one call.
type outcome struct {
	began, ended time.Time
	who          string // app or sidecar
	err          error
}

// callAllTheTime calls from outside the pod, one connection after the other, each for one line, until it is told to stop.
func callAllTheTime(t testing.TB, address string, stop <-chan struct{}) <-chan []outcome {
	t.Helper()
	done := make(chan []outcome, 1)
	begun := make(chan struct{})
	go func() {
		runtime.LockOSThread() // the thread is not used again
		if err := netns.Set(outer); err != nil {
			t.Error(err)
		}
		var list []outcome
		for {
			select {
			case <-stop:
				done <- list
				return
			default:
			}
			o := outcome{began: time.Now()}
			o.who, o.err = once(address, patience)
			o.ended = time.Now()
			list = append(list, o)
			if len(list) == 1 {
				close(begun)
			}
		}
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

// BenchmarkKill measures what callers see of a sidecar that is killed: how long after that the app has the first call, and how
// many calls that began in between were lost.
func BenchmarkKill(b *testing.B) {
	app(b, 8095)
	var window time.Duration
	calls, lost := 0, 0
	for b.Loop() {
		process, said := startSidecar(b, 8095, 0)
		if said != "<nil>" {
			b.Fatal(said)
		}
		stop := make(chan struct{})
		done := callAllTheTime(b, net.JoinHostPort(podIPv4.String(), "8095"), stop)
		killed := time.Now()
		if err := process.Process.Signal(syscall.SIGKILL); err != nil {
			b.Fatal(err)
		}
		_ = process.Wait()
		expect(b, call(b, "tcp", podIPv4, 8095), "app")
		close(stop)
		for _, o := range <-done {
			if o.began.Before(killed) {
				continue
			}
			if calls++; o.err != nil {
				lost++
			} else if o.who == "app" {
				window += o.began.Sub(killed)
				break
			}
		}
	}
	b.ReportMetric(float64(window.Microseconds())/float64(b.N), "µs-to-app")
	b.ReportMetric(float64(lost)/float64(b.N), "lost/op")
}
