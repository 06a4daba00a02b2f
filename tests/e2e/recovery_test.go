// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// answers asks a service of the shop once.
func answers(t *testing.T, laptop *harness.Laptop) func() error {
	return func() error {
		if r := laptop.Try(t, "curl", "-sS", "-m", "1", "http://catalog.shop/"); r.Status != 0 {
			return fmt.Errorf("%s", r)
		}
		return nil
	}
}

func TestGatewayPodDeleted(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t)
	pods := env.Cluster.Kubernetes().CoreV1().Pods("fairlead")
	old := laptop.Status(t).Gateway.Pod
	if err := pods.Delete(t.Context(), old, metav1.DeleteOptions{}); err != nil {
		t.Fatalf("delete the gateway's pod %q: %v", old, err)
	}
	deleted := time.Now()
	took := laptop.AwaitStatus(t, 30*time.Second, "connect to the new gateway pod", func(s session.Status) bool {
		return s.State == session.Connected && s.Gateway.Pod != old && s.Gateway.Pod != ""
	})
	t.Logf("connected to the new pod %v after the old one was deleted", took)
	harness.Eventually(t, 5*time.Second, "a service answers", answers(t, laptop))
	t.Logf("a service answered %v after that", time.Since(deleted)-took)
}

func TestGatewayPodKilledShowsInStatus(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t)
	scale := func(replicas int32) {
		deployments := env.Cluster.Kubernetes().AppsV1().Deployments("fairlead")
		patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
		if _, err := deployments.Patch(context.Background(), "fairlead-gateway", types.MergePatchType, patch, metav1.PatchOptions{}, "scale"); err != nil {
			t.Fatalf("scale the gateway: %v", err)
		}
	}
	t.Cleanup(func() { scale(1) })
	scale(0)
	laptop.AwaitStatus(t, 15*time.Second, "the status says that nothing answers", func(s session.Status) bool {
		return s.State == session.Reconnecting && s.Step != ""
	})
	scale(1)
	took := laptop.AwaitStatus(t, 30*time.Second, "reconnect", func(s session.Status) bool { return s.State == session.Connected })
	t.Logf("reconnected %v after the gateway was scaled up again", took)
	harness.Eventually(t, 5*time.Second, "a service answers", answers(t, laptop))
}

func TestAPIServerRestartGoesUnnoticedOnUDP(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t, "--carrier", "udp")
	long := startStream(t, laptop, "ledger.shop:7000")
	if err := env.Cluster.RestartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
	if status := laptop.Status(t); !harness.OnCarrier("udp")(status) {
		t.Errorf("status after a restart of the API server: %+v", status)
	}
	if result := long.end(t); result.Error != "" || result.LongestStall > 5 {
		t.Errorf("the long-lived connection noticed the restart: %+v", result)
	}
}

// TestConnectAfterAPIServerRestarts has somebody connect whom the gateway has never seen, after the API server was away
// several times: what watches it with client-go's own means waits twice as long after each.
func TestConnectAfterAPIServerRestarts(t *testing.T) {
	const restarts, limit = 6, 25 * time.Second // client-go by itself would need up to a minute
	laptop, newcomer := env.Laptop(0), env.Laptop(1)
	laptop.Connect(t, "--carrier", "udp")
	for i := range restarts {
		ready := restartAPIServer(t)
		if i == 0 {
			continue // twice in a row
		}
		user := fmt.Sprintf("newcomer-%d", ready.UnixNano())
		r := newcomer.Connect(t, "--kubeconfig", kubeconfig(t, user))
		t.Logf("after restart %d %s connected in %v, %v after pods reached the API server", i+1, user,
			r.Took.Round(time.Millisecond), time.Since(ready).Round(time.Millisecond))
		if r.Took > limit {
			t.Errorf("that is longer than %v", limit)
		}
		newcomer.Disconnect(t)
	}
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
}

// TestReconnectWhileTheGatewayIsCutOff deletes a Connection and makes it again, with the same name, while the gateway does
// not hear of either.
func TestReconnectWhileTheGatewayIsCutOff(t *testing.T) {
	const limit = 25 * time.Second
	laptop := env.Laptop(0)
	laptop.Connect(t, "--carrier", "udp")
	if err := env.Cluster.StopAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := env.Cluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	laptop.Disconnect(t)
	connected := make(chan harness.Result, 1)
	go func() { connected <- laptop.Try(t, "fairlead", "connect", "--namespace", "shop", "--carrier", "udp") }()
	if err := env.Cluster.RestartKubeProxy(t.Context()); err != nil {
		t.Fatal(err)
	}
	ready := time.Now()
	if r := <-connected; r.Status != 0 {
		t.Fatalf("%s", r)
	}
	took := time.Since(ready)
	t.Logf("connected %v after pods reached the API server", took.Round(time.Millisecond))
	if took > limit {
		t.Errorf("that is longer than %v", limit)
	}
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
}

// restartAPIServer returns when pods reached the API server again.
func restartAPIServer(t *testing.T) time.Time {
	t.Helper()
	if err := env.Cluster.StopAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := env.Cluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := env.Cluster.RestartKubeProxy(t.Context()); err != nil {
		t.Fatal(err)
	}
	return time.Now()
}

func TestLaptopAsleep(t *testing.T) {
	for _, carrier := range []string{"udp", "relay"} {
		t.Run(carrier, func(t *testing.T) {
			laptop, host := env.Laptop(0), env.Cluster.Laptop(0)
			laptop.Connect(t, "--carrier", carrier)
			t.Cleanup(func() { host.Restore(context.Background()) })
			if err := host.Cut(t.Context()); err != nil {
				t.Fatal(err)
			}
			laptop.AwaitStatus(t, 15*time.Second, "the status says that nothing answers", func(s session.Status) bool { return s.State == session.Reconnecting })
			harness.Always(t, 60*time.Second, "away", func() error { return nil })
			if err := host.Restore(t.Context()); err != nil {
				t.Fatal(err)
			}
			took := harness.Eventually(t, 5*time.Second, "a service answers after the link is back", answers(t, laptop))
			t.Logf("a service answered %v after the link was back", took)
			laptop.AwaitStatus(t, 5*time.Second, "the status says connected", func(s session.Status) bool { return s.State == session.Connected })
		})
	}
}
