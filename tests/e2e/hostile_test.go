// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// unharmed checks that the session that was up before is still the same and still works.
func unharmed(t *testing.T, laptop *harness.Laptop, before session.Status) {
	t.Helper()
	after := laptop.Status(t)
	if after.State != session.Connected || !after.Since.Equal(*before.Since) {
		t.Errorf("the session was harmed: %+v", after)
	}
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
}

// garbage returns random bytes in base64, for a shell.
func garbage(size int) string {
	data := make([]byte, size)
	rand.Read(data)
	return base64.StdEncoding.EncodeToString(data)
}

func TestMalformedRequestsToTheHelper(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t)
	before := laptop.Status(t)
	for what, script := range map[string]string{
		"garbage":           "echo " + garbage(4096) + " | base64 -d",
		"a huge frame":      `printf '\377\377\377\377'; head -c 1000000 /dev/zero`,
		"an empty frame":    `printf '\000\000\000\000'`,
		"half a frame":      `printf '\000\000\000\100{"verb"'`,
		"an unknown verb":   `printf '\000\000\000\021{"verb":"reboot"}'`,
		"an unknown field":  `printf '\000\000\000\037{"verb":"status","path":"/etc"}'`,
		"someone's session": `printf '\000\000\000\062{"verb":"down","body":{"session":"0000000000000000"}}'`,
	} {
		for _, user := range []string{harness.User, "other"} {
			r := laptop.TryAs(t, user, "sh", "-c", "("+script+") | timeout 3 socat -t 1 - UNIX-CONNECT:"+harness.HelperSocket)
			if strings.Contains(r.Stdout, `"session":"`) {
				t.Errorf("%s as %s was served: %s", what, user, r)
			}
		}
	}
	if r := laptop.TryAs(t, "other", "sh", "-c", `printf '\000\000\000\021{"verb":"status"}' | timeout 3 socat -t 1 - UNIX-CONNECT:`+harness.HelperSocket); !strings.Contains(r.Stdout, "denied") {
		t.Errorf("a user who is not listed should be denied: %s", r)
	}
	unharmed(t, laptop, before)
}

// A user may exhaust what the helper gives him, but nobody else's share.
func TestIdleCallersDoNotBlockOthers(t *testing.T) {
	laptop := env.Laptop(0)
	silent := laptop.Command(t.Context(), "other", "sh", "-c", "for i in $(seq 300); do sleep 10 | socat - UNIX-CONNECT:"+harness.HelperSocket+" 2>/dev/null & done; echo started; wait")
	out, err := silent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := silent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { silent.Process.Kill(); silent.Wait() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("start idle callers: %q, %v", line, err)
	}
	laptop.Connect(t)
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
}

func TestMalformedDNS(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t)
	before := laptop.Status(t)
	own := before.Addresses[0] // the helper answers there, and the gateway at the address before it
	attack := func() {
		for _, server := range []string{own.String(), own.Prev().String()} {
			for range 50 {
				laptop.Try(t, "sh", "-c", "echo "+garbage(300)+" | base64 -d | socat -t 0 - UDP:"+server+":53")
			}
			laptop.Try(t, "sh", "-c", "echo "+garbage(20000)+" | base64 -d | timeout 2 socat -t 0 - TCP:"+server+":53")
		}
	}
	attack() // a new process grows with whatever it does first
	watched := watchGateway(t, before.Gateway.Pod)
	attack()
	unharmed(t, laptop, before)
	watched.unharmed(t)
}

func TestMalformedDatagramsAndRelayFrames(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t)
	before := laptop.Status(t)
	endpoint := before.Carrier.Endpoint
	attack := func() {
		for range 50 {
			laptop.Try(t, "sh", "-c", "echo "+garbage(900)+" | base64 -d | socat -t 0 - UDP:"+endpoint)
			laptop.Try(t, "sh", "-c", `(printf '\372FL\001\001\000\000\052'; echo `+garbage(34)+" | base64 -d) | socat -t 0 - UDP:"+endpoint)
		}
	}
	attack() // a new process grows with whatever it does first
	watched := watchGateway(t, before.Gateway.Pod)
	attack()
	// Straight to the relay port, as whoever may port-forward could: no greeting, a wrong one, and frames of garbage.
	pod := before.Gateway.Pod
	forward := laptop.Command(t.Context(), harness.User, "kubectl", "-n", "fairlead", "port-forward", "pod/"+pod, "18642:8642")
	if err := forward.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { forward.Process.Kill(); forward.Wait() }()
	harness.Eventually(t, connectLimit, "the port-forward listens", func() error {
		r := laptop.Try(t, "socat", "-u", "OPEN:/dev/null", "TCP:127.0.0.1:18642")
		return exitError(r)
	})
	for _, script := range []string{
		"echo " + garbage(5000) + " | base64 -d",
		`printf 'FLRELAY\001\377\377'; head -c 70000 /dev/zero`,
		`printf 'FLRELAY\001\000\000'`,
		`printf 'FLRELAY\001'; for i in $(seq 200); do printf '\000\144'; head -c 100 /dev/urandom; done`,
	} {
		laptop.Try(t, "sh", "-c", "("+script+") | timeout 3 socat -t 1 - TCP:127.0.0.1:18642")
	}
	unharmed(t, laptop, before)
	watched.unharmed(t)
}

// The gateway's own pod is nobody's target: its metrics and its relay are not for laptops.
func TestGatewayRefusesItsOwnPod(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t)
	before := laptop.Status(t)
	watched := watchGateway(t, before.Gateway.Pod)
	pod, err := env.Cluster.Kubernetes().CoreV1().Pods("fairlead").Get(t.Context(), before.Gateway.Pod, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ports := []string{"9090", "8081", "8642"}
	for _, port := range ports {
		if r := laptop.Try(t, "curl", "-sS", "-m", "2", "http://"+pod.Status.PodIP+":"+port+"/metrics"); r.Status != 7 {
			t.Errorf("port %s of the gateway's pod should be refused (curl exit status 7): %s", port, r)
		}
	}
	_, connection, _ := strings.Cut(before.Connection, "/")
	refused := fmt.Sprintf(`fairlead_gateway_peer_packets_dropped_total{connection=%q,reason="refused"}`, connection)
	harness.Eventually(t, 5*time.Second, "refused connections are counted", func() error {
		if grown := watched.read(t)[refused] - watched.before[refused]; grown < float64(len(ports)) {
			return fmt.Errorf("of %d, %s says %v", len(ports), refused, grown)
		}
		return nil
	})
	unharmed(t, laptop, before)
}

// watched is a gateway's pod with its metrics as they were.
type watched struct {
	pod    string
	before map[string]float64
}

func watchGateway(t *testing.T, pod string) watched {
	t.Helper()
	w := watched{pod: pod}
	w.before = w.read(t)
	return w
}

// read returns the pod's metrics, by name and labels as Prometheus writes them.
func (w watched) read(t *testing.T) map[string]float64 {
	t.Helper()
	text, err := env.Cluster.Kubernetes().CoreV1().Pods("fairlead").ProxyGet("http", w.pod, "9090", "metrics", nil).DoRaw(t.Context())
	if err != nil {
		t.Fatalf("read the gateway's metrics: %v", err)
	}
	metrics := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if number, err := strconv.ParseFloat(value, 64); ok && err == nil && name != "#" {
			metrics[name] = number
		}
	}
	return metrics
}

// unharmed checks that the gateway's process is the same, holds on to nothing that it was sent, and serves the same
// laptops.
func (w watched) unharmed(t *testing.T) {
	t.Helper()
	// What may grow, and by how much: in bytes, in goroutines, in streams.
	allowed := map[string]float64{
		"process_resident_memory_bytes": 24 << 20, "go_goroutines": 20, "fairlead_gateway_relay_streams": 0, "fairlead_gateway_buffered_bytes": 0,
	}
	same := []string{"process_start_time_seconds", "fairlead_gateway_serving", "fairlead_gateway_peers"}
	harness.Eventually(t, 10*time.Second, "the gateway is as before", func() error {
		after := w.read(t)
		for name, most := range allowed {
			if value, ok := after[name]; !ok || value > w.before[name]+most {
				return fmt.Errorf("%s is %v, was %v", name, after[name], w.before[name])
			}
		}
		for _, name := range same {
			if value, ok := after[name]; !ok || value != w.before[name] {
				return fmt.Errorf("%s is %v, was %v", name, value, w.before[name])
			}
		}
		return nil
	})
	pod, err := env.Cluster.Kubernetes().CoreV1().Pods("fairlead").Get(t.Context(), w.pod, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.RestartCount != 0 {
			t.Errorf("the gateway's pod %s was restarted %d times", pod.Name, c.RestartCount)
		}
	}
}
