// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/tests/cluster"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

//go:embed testdata/*.yaml
var manifests embed.FS

// env has two nodes and two laptops: alice's and bob's.
var env *harness.Environment

// lab is the path of the lab program.
var lab string

func TestMain(m *testing.M) {
	harness.Main(m, cluster.Config{Name: "e2ecept", Nodes: 2, Laptops: 2}, func(e *harness.Environment) {
		env = e
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, "prepare the lab:", err)
			e.Stop()
			os.Exit(1)
		}
	})
}

// prepare builds the lab, puts it on the nodes, deploys it in all its shapes and waits until it is ready.
func prepare() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	root := env.Cluster.Config().Root
	lab = filepath.Join(root, ".cluster", "bin", "lab")
	build := exec.CommandContext(ctx, "go", "build", "-o", lab, "./tests/lab")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	if err := env.Cluster.LoadImage(ctx, cluster.Image{
		Ref: "fairlead.test/lab:dev", Name: "lab", Binary: lab, Links: []string{"cat"}, Variables: []string{"LAB_IMAGE=of the image", "GREETING=of the image"},
	}); err != nil {
		return fmt.Errorf("load the image: %w", err)
	}
	names, err := fs.Glob(manifests, "testdata/*.yaml")
	if err != nil {
		return err
	}
	for _, name := range names {
		file, err := manifests.Open(name)
		if err != nil {
			return err
		}
		if err := env.Cluster.Apply(ctx, file); err != nil {
			return fmt.Errorf("apply %s: %w", name, err)
		}
	}
	for {
		waiting, err := unready(ctx, "lab", "strict", "kinds", "probes")
		if err != nil || waiting == "" {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pods are not ready: %s", waiting)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// unready names the pods of some namespaces that are not ready.
func unready(ctx context.Context, namespaces ...string) (string, error) {
	var names []string
	for _, namespace := range namespaces {
		pods, err := env.Cluster.Kubernetes().CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", fmt.Errorf("list pods: %w", err)
		}
		if len(pods.Items) == 0 {
			names = append(names, "any of "+namespace)
		}
		for _, pod := range pods.Items {
			if !isReady(pod) {
				names = append(names, namespace+"/"+pod.Name)
			}
		}
	}
	return strings.Join(names, " "), nil
}

func isReady(pod corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// developer is a person at a laptop, connected.
type developer struct {
	*harness.Laptop
	name string
}

// connected returns alice (0) or bob (1), connected as ordinary developers. They are disconnected when the test ends.
func connected(t *testing.T, index int, args ...string) developer {
	t.Helper()
	name := []string{"alice", "bob"}[index]
	kubeconfig, err := env.Cluster.UserKubeconfig(name, "developers")
	if err != nil {
		t.Fatal(err)
	}
	d := developer{env.Laptop(index), name}
	d.Connect(t, append([]string{"--kubeconfig", kubeconfig, "--namespace", "lab"}, args...)...)
	return d
}

// outcome is what the lab's check says of one protocol.
type outcome struct{ Check, Server, Error string }

// check runs the lab's checks on the laptop and returns what they came to, by name.
func (d developer) check(t *testing.T, args ...string) map[string]outcome {
	t.Helper()
	var list []outcome
	out := d.Run(t, append([]string{lab, "check"}, args...)...)
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("read the checks: %v\n%s", err, out)
	}
	outcomes := map[string]outcome{}
	for _, o := range list {
		outcomes[o.Check] = o
	}
	return outcomes
}

// serve runs the lab on the laptop, named after the developer, with ports from base on: web, raw, tap, udp. It ends with
// the test, or when the returned function is called.
func (d developer) serve(t *testing.T, base int) (stop func()) {
	t.Helper()
	at := func(offset int) string { return fmt.Sprintf("127.0.0.1:%d", base+offset) }
	cmd := d.Command(context.WithoutCancel(t.Context()), harness.User, lab, "serve", "--name", d.name, "--web", at(0), "--raw", at(1), "--tap", at(2), "--udp", at(3))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if !ended {
			ended = true
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	t.Cleanup(stop)
	harness.Eventually(t, 5*time.Second, "the local lab answers", func() error {
		if r := d.Try(t, "curl", "-sS", "-m", "2", "http://"+at(0)+"/healthz"); r.Status != 0 {
			return fmt.Errorf("%s", r)
		}
		return nil
	})
	return stop
}

// answer is what `fairlead intercept --output json` and the entries of `fairlead intercepts --output json` say that tests use.
type answer struct {
	Name, Namespace, User, Phase, Message, Key, Header, Curl, Redirect, RedirectReason string
	PodsReady, PodsCovered                                                             int
	Counts                                                                             struct{ Matched, Passed, FallenBack, Unreadable int }
	Ports                                                                              []struct {
		Port      int
		Local     string
		Listening bool
	}
	Notes []string
}

// intercept runs `fairlead intercept`, and leaves everything when the test ends.
func (d developer) intercept(t *testing.T, args ...string) answer {
	t.Helper()
	t.Cleanup(func() { d.leave(t) })
	out := d.Run(t, append([]string{"fairlead", "intercept", "--output", "json"}, args...)...)
	var a answer
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatalf("read the intercept: %v\n%s", err, out)
	}
	return a
}

// leave ends all intercepts of the developer, or those of the named workloads.
func (d developer) leave(t *testing.T, workloads ...string) {
	t.Helper()
	args := []string{"fairlead", "leave"}
	if len(workloads) == 0 {
		args = append(args, "--all")
	}
	if r := d.Try(t, append(args, workloads...)...); r.Status != 0 {
		t.Errorf("%s\n%s", r, d.Logs())
	}
}

// whoAnswers asks a URL once and returns the lab server that answered.
func (d developer) whoAnswers(t *testing.T, url string, headers ...string) string {
	t.Helper()
	args := []string{"curl", "-sS", "-m", "5", "-o", "/dev/null", "-w", "%{header_json}"}
	for _, header := range headers {
		args = append(args, "-H", header)
	}
	out := d.Run(t, append(args, url)...)
	var answered map[string][]string
	if err := json.Unmarshal([]byte(out), &answered); err != nil || len(answered["x-lab-server"]) == 0 {
		t.Fatalf("%s: who answered is not said: %v\n%s", url, err, out)
	}
	return answered["x-lab-server"][0]
}

// labAddresses are the flags of the lab's check for the Service lab.
func labAddresses(service string) []string {
	return []string{"--web", net.JoinHostPort(service, "80"), "--raw", net.JoinHostPort(service, "7000"), "--tap", net.JoinHostPort(service, "8081"), "--udp", net.JoinHostPort(service, "7007")}
}

// intercepts returns what `fairlead intercepts -A` lists.
func (d developer) intercepts(t *testing.T) []answer {
	t.Helper()
	var list struct{ Intercepts []answer }
	out := d.Run(t, "fairlead", "intercepts", "-A", "--output", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("read the intercepts: %v\n%s", err, out)
	}
	return list.Intercepts
}
