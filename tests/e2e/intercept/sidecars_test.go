// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/tests/cluster"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// sidecarsOf returns the containers of living sidecars of a namespace, as node index and container id.
func sidecarsOf(t testing.TB, namespace string) (list [][2]string) {
	t.Helper()
	pods, err := env.Cluster.Kubernetes().CoreV1().Pods(namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		for _, status := range append(pod.Status.EphemeralContainerStatuses, pod.Status.InitContainerStatuses...) {
			if strings.HasPrefix(status.Name, "fairlead") && status.State.Running != nil {
				list = append(list, [2]string{pod.Spec.NodeName, strings.TrimPrefix(status.ContainerID, "containerd://")})
			}
		}
	}
	return list
}

// killSidecar kills a sidecar's process at once, as the kernel does when memory runs out, and returns when it is gone: a process
// that is dying still takes connections, until the last of its threads has ended. Its first one is a zombie before that.
func killSidecar(t testing.TB, sidecar [2]string) {
	t.Helper()
	signalSidecar(t, sidecar, "KILL", `while ls /proc/$pid/task/*/status 2>/dev/null | xargs -r cat 2>/dev/null | grep '^State:' | grep -qv Z; do sleep 0.01; done`)
}

// signalSidecar sends a signal to a sidecar's process, and then runs shell commands on its node, to which $pid is the process.
func signalSidecar(t testing.TB, sidecar [2]string, signal, then string) {
	t.Helper()
	node := nodeNamed(t, sidecar[0])
	script := `pid=$(` + processOf(sidecar[1]) + `); kill -s ` + signal + ` "$pid" && { ` + then + `; }`
	if out, err := node.Command(context.Background(), "sh", "-c", script).CombinedOutput(); err != nil {
		t.Logf("%s to sidecar %v: %v: %s", signal, sidecar, err, out)
	}
}

// processOf is a shell command that prints the process of a container, on its node.
func processOf(container string) string {
	return `ctr -a /run/containerd/containerd.sock -n k8s.io tasks ls | awk '$1=="` + container + `"{print $2}'`
}

// nodeNamed is the node with a name.
func nodeNamed(t testing.TB, name string) *cluster.Node {
	t.Helper()
	for i := range env.Cluster.Nodes() {
		if node := env.Cluster.Node(i); node.Name == name {
			return node
		}
	}
	t.Errorf("there is no node %s", name)
	return env.Cluster.Node(0)
}

// networkOf is the node of a pod, and the process there whose network is the pod's.
func networkOf(t testing.TB, pod corev1.Pod) (node *cluster.Node, pid string) {
	t.Helper()
	node = nodeNamed(t, pod.Spec.NodeName)
	container := strings.TrimPrefix(pod.Status.ContainerStatuses[0].ContainerID, "containerd://")
	out, err := node.Command(context.Background(), "sh", "-c", processOf(container)).Output()
	if pid = strings.TrimSpace(string(out)); err != nil || pid == "" {
		t.Fatalf("find the process of pod %s: %v", pod.Name, err)
	}
	return node, pid
}

// dialFrom connects as a program in a pod would: from its network, and so from its address.
func dialFrom(t *testing.T, pod corev1.Pod, address string) (net.Conn, error) {
	t.Helper()
	node, pid := networkOf(t, pod)
	network := node.Path("/proc/" + pid + "/ns/net")
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		handle, err := netns.GetFromPath(network)
		if err != nil {
			done <- result{nil, err}
			return
		}
		defer handle.Close()
		if err := netns.Set(handle); err != nil {
			done <- result{nil, err}
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// sidecarVariables are what the serving sidecar of a pod was given, by the variable's name. The kubelet says a little later
// than the sidecar itself that it runs.
func sidecarVariables(t *testing.T, namespace, app string) (pod corev1.Pod, variables map[string]string) {
	t.Helper()
	harness.Eventually(t, 5*time.Second, "a sidecar is said to run", func() error {
		pod = podOf(t, namespace, app)
		if variables = variablesOf(pod); variables == nil {
			return fmt.Errorf("pod %s has none", pod.Name)
		}
		return nil
	})
	return pod, variables
}

func variablesOf(pod corev1.Pod) map[string]string {
	for _, container := range pod.Spec.EphemeralContainers {
		for _, status := range pod.Status.EphemeralContainerStatuses {
			if status.Name == container.Name && status.State.Running != nil && strings.HasPrefix(container.Name, "fairlead") {
				variables := map[string]string{"container": container.Name}
				for _, variable := range container.Env {
					variables[variable.Name] = variable.Value
				}
				return variables
			}
		}
	}
	return nil
}
