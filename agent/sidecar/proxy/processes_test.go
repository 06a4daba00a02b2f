// SPDX-License-Identifier: Apache-2.0

//go:build linux

package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// processRole has the test binary be one of the programs of BenchmarkProcesses instead of running tests.
const processRole = "FAIRLEAD_BENCH_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(processRole) {
	case "app":
		appProcess()
	case "proxy":
		proxyProcess()
	default:
		os.Exit(m.Run())
	}
}

// appProcess serves small answers until its input ends.
func appProcess() {
	l := announced()
	go serveHTTP(http.HandlerFunc(hello))(l)
	untilClosed()
}

// proxyProcess is the sidecar's proxy before the app, set up as the sidecar is. With FAIRLEAD_BENCH_PROFILE it writes a CPU
// profile.
func proxyProcess() {
	debug.SetMemoryLimit(24 << 20)
	debug.SetGCPercent(100)
	app := os.Getenv("FAIRLEAD_BENCH_APP")
	p := New(Options{Flows: &fakeFlows{}, DialApp: func(ctx context.Context, _ uint16, _ netip.Addr) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", app)
	}})
	if err := p.SetPorts([]wire.PortOrder{{Port: testPort, Protocol: "TCP", Rules: []wire.Rule{keyed("ann")}}}, nil, nil); err != nil {
		panic(err)
	}
	l := announced()
	if file := os.Getenv("FAIRLEAD_BENCH_PROFILE"); file != "" {
		out, err := os.Create(file)
		if err != nil {
			panic(err)
		}
		if err := pprof.StartCPUProfile(out); err != nil {
			panic(err)
		}
		defer pprof.StopCPUProfile()
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.Serve(testPort, conn)
		}
	}()
	untilClosed()
}

// announced listens, and tells the parent where.
func announced() net.Listener {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	l, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	return l
}

func untilClosed() { _, _ = io.Copy(io.Discard, os.Stdin) }

// process is a running role.
type process struct {
	pid     int
	address string
}

func startRole(b *testing.B, role string, env ...string) process {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(append(os.Environ(), processRole+"="+role), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return process{pid: cmd.Process.Pid, address: strings.TrimSpace(line)}
}

// usage is what a process has used since it began.
type usage struct {
	cpu      time.Duration
	switches int64 // of threads that waited, or were made to
}

// used adds up the process's threads, from /proc/PID/task (proc_pid_task(5), proc_pid_status(5)).
func (p process) used(b *testing.B) (u usage) {
	b.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task + "/schedstat")
		if fields := strings.Fields(string(text)); len(fields) > 0 {
			ns, _ := strconv.ParseInt(fields[0], 10, 64)
			u.cpu += time.Duration(ns)
		}
		text, _ = os.ReadFile(task + "/status")
		for line := range strings.Lines(string(text)) {
			if name, value, _ := strings.Cut(line, ":"); strings.HasSuffix(name, "voluntary_ctxt_switches") {
				n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
				u.switches += n
			}
		}
	}
	return u
}

// BenchmarkProcesses has caller, proxy and app be processes of their own, as they are in a pod, and tells what the proxy's
// costs a request. Direct requests and those through the proxy take turns.
func BenchmarkProcesses(b *testing.B) {
	for _, connections := range []int{1, 32} {
		b.Run(fmt.Sprint(connections), func(b *testing.B) {
			app := startRole(b, "app")
			proxy := startRole(b, "proxy", "FAIRLEAD_BENCH_APP="+app.address)
			var perSecond [2][]float64
			var p50 [2][]time.Duration
			var asked [2]int
			var cost [2][3]usage // of the caller, the proxy and the app
			processes := [3]process{{pid: os.Getpid()}, proxy, app}
			for b.Loop() {
				for i, address := range []string{app.address, proxy.address} {
					var before [3]usage
					for j, p := range processes {
						before[j] = p.used(b)
					}
					took, rate := askFor(b, address, connections, 500*time.Millisecond)
					for j, p := range processes {
						after := p.used(b)
						cost[i][j].cpu += after.cpu - before[j].cpu
						cost[i][j].switches += after.switches - before[j].switches
					}
					perSecond[i] = append(perSecond[i], rate)
					p50[i] = append(p50[i], median(took))
					asked[i] += len(took)
				}
			}
			slices.Sort(perSecond[0])
			slices.Sort(perSecond[1])
			direct, through := perSecond[0][len(perSecond[0])/2], perSecond[1][len(perSecond[1])/2]
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(direct, "direct-req/s")
			b.ReportMetric(through, "proxy-req/s")
			b.ReportMetric(through/direct, "ratio")
			b.ReportMetric(float64((median(p50[1])-median(p50[0])).Nanoseconds())/1e3, "over-p50-µs")
			for i, way := range []string{"direct", "through"} {
				for j, name := range []string{"caller", "proxy", "app"} {
					if i == 0 && j == 1 {
						continue
					}
					b.ReportMetric(float64(cost[i][j].cpu.Nanoseconds())/1e3/float64(asked[i]), way+"-"+name+"-µs/req")
					b.ReportMetric(float64(cost[i][j].switches)/float64(asked[i]), way+"-"+name+"-switches/req")
				}
			}
		})
	}
}

// askFor asks on several connections for a while, each as fast as it is answered.
func askFor(b *testing.B, address string, connections int, long time.Duration) (took []time.Duration, perSecond float64) {
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	var mu sync.Mutex
	var group sync.WaitGroup
	started := time.Now()
	for range connections {
		group.Go(func() {
			client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
			defer client.CloseIdleConnections()
			var mine []time.Duration
			for ctx.Err() == nil {
				asked := time.Now()
				answer, err := client.Get("http://" + address + "/hello")
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
				mine = append(mine, time.Since(asked))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	group.Wait()
	perSecond = float64(len(took)) / time.Since(started).Seconds()
	runtime.GC()
	return took, perSecond
}
