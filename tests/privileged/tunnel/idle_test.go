// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// BenchmarkIdle measures what a process with an idle tunnel costs: resident memory, and processor time in a second.
func BenchmarkIdle(b *testing.B) {
	session := exec.Command("/proc/self/exe")
	session.Env = append(os.Environ(), roleVariable+"=session", stateVariable+"="+filepath.Join(b.TempDir(), "journal.json"),
		"FAIRLEAD_TEST_GATEWAY="+theGateway.publicKey)
	session.Stderr = os.Stderr
	session.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := session.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := session.Start(); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewReader(out)
	key, err := lines.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	theGateway.tell(b, "peer "+key[:len(key)-1])
	if _, err := lines.ReadString('\n'); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		time.Sleep(time.Second)
	}
	rss, err := residentMemory(session.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(atoi(rss))/1024, "MiB-rss")
	if err := session.Process.Kill(); err != nil {
		b.Fatal(err)
	}
	_ = session.Wait() // killed
	used := session.ProcessState.UserTime() + session.ProcessState.SystemTime()
	b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N), "ms-cpu/s")
	run(b, "ip rule del pref 26220")
	run(b, "ip -6 rule del pref 26220")
	run(b, "ip route flush table 26220")
}
