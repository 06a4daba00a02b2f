// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// path is a way from the laptop to one pod of the shop. open makes it ready and returns the host and port to use;
// close undoes that.
type path struct {
	name string
	open func(*bench, context.Context) (hostPort string, close func(), err error)
}

// paths are what is compared, the limit first.
var paths = []path{
	{"plain route", (*bench).plainRoute},
	{"port-forward", (*bench).portForward},
	{"udp", func(b *bench, ctx context.Context) (string, func(), error) { return b.tunnel(ctx, "udp") }},
	{"relay", func(b *bench, ctx context.Context) (string, func(), error) { return b.tunnel(ctx, "relay") }},
}

// podPort is the HTTP port of catalog's pods.
const podPort = "8080"

// pod returns the name and the address of a pod of catalog.
func (b *bench) pod(ctx context.Context) (name, address string, err error) {
	pods, err := b.env.Cluster.Kubernetes().CoreV1().Pods("shop").List(ctx, metav1.ListOptions{LabelSelector: "app=catalog"})
	if err != nil {
		return "", "", fmt.Errorf("find a pod of catalog: %w", err)
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil && pod.Status.PodIP != "" {
			return pod.Name, pod.Status.PodIP, nil
		}
	}
	return "", "", errors.New("catalog has no pod")
}

// plainRoute gives the laptop a route to the pods by the node, as a router between them would.
func (b *bench) plainRoute(ctx context.Context) (string, func(), error) {
	_, address, err := b.pod(ctx)
	if err != nil {
		return "", nil, err
	}
	node := b.env.Cluster.Plan().Nodes[0].IPv4.String()
	if r := b.laptop.Exec(ctx, "root", "ip", "route", "replace", address+"/32", "via", node); r.Status != 0 {
		return "", nil, errors.New(r.String())
	}
	return net.JoinHostPort(address, podPort), func() {
		b.laptop.Exec(context.WithoutCancel(ctx), "root", "ip", "route", "del", address+"/32")
	}, nil
}

// portForward runs kubectl port-forward to the pod.
func (b *bench) portForward(ctx context.Context) (string, func(), error) {
	name, _, err := b.pod(ctx)
	if err != nil {
		return "", nil, err
	}
	cmd := b.laptop.Command(ctx, harness.User, "kubectl", "-n", "shop", "port-forward", "pod/"+name, "18080:"+podPort)
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("start kubectl port-forward: %w", err)
	}
	end := func() { stopProcess(cmd) }
	for range 100 {
		if b.laptop.Exec(ctx, harness.User, "curl", "-sS", "-m", "1", "http://127.0.0.1:18080/hello").Status == 0 {
			return "127.0.0.1:18080", end, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	end()
	return "", nil, errors.New("kubectl port-forward does not answer")
}

// tunnel connects Fairlead by a carrier.
func (b *bench) tunnel(ctx context.Context, carrier string) (string, func(), error) {
	_, address, err := b.pod(ctx)
	if err != nil {
		return "", nil, err
	}
	if r := b.laptop.Exec(ctx, harness.User, "fairlead", "connect", "--namespace", "shop", "--carrier", carrier); r.Status != 0 {
		return "", nil, errors.New(r.String() + b.laptop.Logs())
	}
	return net.JoinHostPort(address, podPort), func() {
		b.laptop.Exec(context.WithoutCancel(ctx), harness.User, "fairlead", "disconnect")
	}, nil
}

// traffic runs the traffic program on the laptop and reads its result.
func (b *bench) traffic(ctx context.Context, result any, args ...string) error {
	cmd := b.laptop.Command(ctx, harness.User, append([]string{b.laptop.TrafficProgram()}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return fmt.Errorf("traffic %v: %w", args, err)
	}
	if err := json.Unmarshal(out, result); err != nil {
		return fmt.Errorf("read the result of traffic %v: %w", args, err)
	}
	return nil
}

// stopProcess ends a command that this program started and waits for its end.
func stopProcess(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}
