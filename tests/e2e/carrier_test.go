// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// switchLimit is how soon a carrier that stopped working must be replaced.
const switchLimit = 5 * time.Second

func TestCarrierSwitchesWithoutLosingAConnection(t *testing.T) {
	laptop := env.Laptop(0)
	host := env.Cluster.Laptop(0)
	t.Cleanup(func() { host.UnblockUDP(context.Background()) })

	if err := host.BlockUDP(t.Context()); err != nil {
		t.Fatal(err)
	}
	laptop.Connect(t)
	if status := laptop.Status(t); !harness.OnCarrier("relay")(status) {
		t.Fatalf("with UDP blocked the relay should carry: %+v", status)
	}
	stream := startStream(t, laptop, "ledger.shop:7000")

	for round := range 2 {
		if err := host.UnblockUDP(t.Context()); err != nil {
			t.Fatal(err)
		}
		took := laptop.AwaitStatus(t, 3*switchLimit, "move to UDP", harness.OnCarrier("udp"))
		t.Logf("round %d: moved to UDP %v after it was unblocked", round, took)
		laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
		if err := host.BlockUDP(t.Context()); err != nil {
			t.Fatal(err)
		}
		took = laptop.AwaitStatus(t, switchLimit, "move to the relay", harness.OnCarrier("relay"))
		t.Logf("round %d: moved to the relay %v after UDP was blocked", round, took)
		laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
	}

	result := stream.end(t)
	if result.Error != "" || result.Blocks == 0 {
		t.Errorf("the long-lived connection did not survive: %+v", result)
	}
	if result.LongestStall > 4*switchLimit.Seconds() { // a busy machine is forgiven much, as by harness.Eventually
		t.Errorf("the long-lived connection stood still for %.1f s", result.LongestStall)
	}
	t.Logf("one connection through every switch: %+v", result)
}

// stream is a long-lived TCP connection of a program on a laptop.
type stream struct {
	cmd    *exec.Cmd
	output *bufio.Reader
}

// streamResult is what the traffic program says of it.
type streamResult struct {
	Blocks       uint64
	LongestStall float64
	Error        string
}

// startStream opens a connection to an echo service and returns when data flows both ways.
func startStream(t *testing.T, laptop *harness.Laptop, address string) *stream {
	t.Helper()
	cmd := laptop.Command(context.Background(), harness.User, laptop.TrafficProgram(), "stream", address)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start a long-lived connection: %v", err)
	}
	s := &stream{cmd: cmd, output: bufio.NewReader(out)}
	t.Cleanup(func() { cmd.Process.Kill() })
	if line, err := s.output.ReadString('\n'); err != nil || line != `{"started":true}`+"\n" {
		t.Fatalf("the long-lived connection did not start: %q, %v", line, err)
	}
	return s
}

// end closes the connection and returns what became of it.
func (s *stream) end(t *testing.T) streamResult {
	t.Helper()
	if err := s.cmd.Process.Signal(interrupt); err != nil {
		t.Fatalf("end the long-lived connection: %v", err)
	}
	text, err := io.ReadAll(s.output)
	if err != nil {
		t.Fatalf("read the result of the long-lived connection: %v", err)
	}
	s.cmd.Wait()
	var result streamResult
	if err := json.Unmarshal(text, &result); err != nil {
		t.Fatalf("read the result of the long-lived connection: %v: %q", err, text)
	}
	return result
}
