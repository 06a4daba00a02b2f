// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

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

// labAddresses are the flags of the lab's check for the Service lab.
func labAddresses(service string) []string {
	return []string{"--web", net.JoinHostPort(service, "80"), "--raw", net.JoinHostPort(service, "7000"), "--tap", net.JoinHostPort(service, "8081"), "--udp", net.JoinHostPort(service, "7007")}
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

// answerLimit is how long a request may take at the most, whatever has just gone. One that takes longer says so; on a busy
// machine it fails after four times that.
const answerLimit = 5 * time.Second

// ask asks a URL once and returns the lab server that answered.
func (d developer) ask(t *testing.T, url string, headers ...string) (server string, err error) {
	t.Helper()
	args := []string{"curl", "-sS", "-m", strconv.Itoa(4 * int(answerLimit.Seconds())), "-o", "/dev/null", "-w", "%{header_json}"}
	for _, header := range headers {
		args = append(args, "-H", header)
	}
	r := d.Try(t, append(args, url)...)
	if r.Status != 0 {
		return "", errors.New(r.String())
	}
	if r.Took > answerLimit {
		t.Logf("%s answered after %v; it should be %v at most", url, r.Took.Round(time.Millisecond), answerLimit)
	}
	var answered map[string][]string
	if err := json.Unmarshal([]byte(r.Stdout), &answered); err != nil {
		return "", fmt.Errorf("read the headers of the answer of %s: %w", url, err)
	}
	if len(answered["x-lab-server"]) == 0 {
		return "", fmt.Errorf("%s: who answered is not said: %s", url, r.Stdout)
	}
	return answered["x-lab-server"][0], nil
}

// whoAnswers is ask for a request that must be answered.
func (d developer) whoAnswers(t *testing.T, url string, headers ...string) string {
	t.Helper()
	server, err := d.ask(t, url, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// blue is the header of a request for who intercepts with that key.
const blue = "x-fairlead: blue"

// answers is for harness.Eventually: that a URL is answered by a server whose name begins so.
func (d developer) answers(t *testing.T, server, url string, headers ...string) func() error {
	return func() error {
		got, err := d.ask(t, url, headers...)
		if err == nil && !strings.HasPrefix(got, server) {
			err = fmt.Errorf("%s answers", got)
		}
		return err
	}
}

// kubectlAdmin runs kubectl as the cluster's administrator on the machine.
func (d developer) kubectlAdmin(t *testing.T, args ...string) string {
	t.Helper()
	r := d.TryAs(t, "root", append([]string{"kubectl"}, args...)...)
	if r.Status != 0 {
		t.Fatalf("%s", r)
	}
	return r.Stdout
}
