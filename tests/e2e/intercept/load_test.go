// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"syscall"
	"testing"
)

// load is constant load from a node of the cluster: callers that know nothing of laptops.
type load struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr bytes.Buffer
}

// loadResult is what `lab load` prints.
type loadResult struct {
	Requests, Failed int
	Servers          map[string]int
	Failures         []string
	Slowest          float64
	Slow             []string
}

func startLoad(t *testing.T, args ...string) *load {
	t.Helper()
	l := &load{cmd: env.Cluster.Node(0).Command(context.Background(), args...)}
	l.cmd.Stdout, l.cmd.Stderr = &l.stdout, &l.stderr
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.cmd.Process.Kill() })
	return l
}

// stop ends the load and returns what it came to.
func (l *load) stop(t *testing.T) loadResult {
	t.Helper()
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("end the load: %v\n%s", err, l.stderr.String())
	}
	if err := l.cmd.Wait(); err != nil {
		t.Errorf("the load: %v\n%s", err, l.stderr.String())
	}
	var result loadResult
	if err := json.Unmarshal(l.stdout.Bytes(), &result); err != nil {
		t.Fatalf("read what the load came to: %v\n%s%s", err, l.stdout.String(), l.stderr.String())
	}
	return result
}
