// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// attempt opens a flow from a pod, with what its sidecar, or another pod's, was given. It returns the gateway's answer: to the
// greeting, where that was refused, else to the flow.
func attempt(t *testing.T, from corev1.Pod, hello wire.Hello, open wire.Open) (refused string, answer wire.Answer) {
	t.Helper()
	conn, err := dialFrom(t, from, net.JoinHostPort(serviceAddress(t, "fairlead", "fairlead-sidecars"), "8443"))
	if err != nil {
		t.Fatalf("reach the gateway from pod %s: %v", from.Name, err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a thief does not mind whom it talks to
	hello.Version, hello.Purpose = wire.Version, wire.PurposeFlow
	if err := wire.WriteMessage(secured, hello, wire.MaxOpen); err != nil {
		return err.Error(), answer
	}
	var welcome wire.Welcome
	if err := wire.ReadMessage(secured, &welcome, wire.MaxOpen); err != nil {
		return err.Error(), answer
	}
	if welcome.Error != "" {
		return welcome.Error, answer
	}
	if err := wire.WriteMessage(secured, open, wire.MaxOpen); err != nil {
		t.Fatal(err)
	}
	if err := wire.ReadMessage(secured, &answer, wire.MaxOpen); err != nil {
		t.Fatal(err)
	}
	return "", answer
}

// TestOnlyTheSidecarOpensFlows: what a sidecar was given is of use in its own pod only, and there for what is intercepted only.
func TestOnlyTheSidecarOpensFlows(t *testing.T) {
	alice := connected(t, 0)
	alice.serve(t, 3000)
	name := alice.intercept(t, "lab", "--key", "blue", "--port", "3000:web").Name
	uid := strings.TrimSpace(alice.kubectlAdmin(t, "-n", "lab", "get", "intercept", name, "-o", "jsonpath={.metadata.uid}"))
	pod, given := sidecarVariables(t, "lab", "lab")
	stranger := podOf(t, "shop", "catalog")
	var credential string
	for variable, value := range given {
		if strings.Contains(variable, "CREDENTIAL") {
			credential = value
		}
	}
	if credential == "" {
		t.Fatalf("the sidecar has no credential: %v", given)
	}
	own := wire.Hello{PodUID: string(pod.UID), Container: given["container"], Credential: credential}
	caller, called := netip.MustParseAddrPort(pod.Status.HostIP+":40000"), netip.MustParseAddrPort(pod.Status.PodIP+":8080")
	flow := wire.Open{Intercept: uid, Port: 8080, Protocol: "TCP", Client: caller, Target: called, Kind: wire.FlowHTTP}

	if refused, answer := attempt(t, pod, own, flow); refused != "" || answer.Result != wire.Accepted {
		t.Fatalf("the sidecar itself opens no flow, so that the rest shows nothing: %s %+v", refused, answer)
	}
	for what, hello := range map[string]wire.Hello{
		"a stolen credential":                 own,
		"a stolen credential, as another pod": {PodUID: string(stranger.UID), Container: own.Container, Credential: own.Credential},
		"no credential":                       {PodUID: string(pod.UID), Container: own.Container, Credential: strings.Repeat("A", len(own.Credential))},
	} {
		if refused, answer := attempt(t, stranger, hello, flow); refused == "" {
			t.Errorf("%s, from another pod: %+v", what, answer)
		} else {
			t.Logf("%s, from another pod: %s", what, refused)
		}
	}
	for what, open := range map[string]wire.Open{
		"a port that is not intercepted": {Intercept: uid, Port: 7000, Protocol: "TCP", Kind: wire.FlowRaw},
		"the laptop's own ssh":           {Intercept: uid, Port: 22, Protocol: "TCP", Kind: wire.FlowRaw},
		"another protocol":               {Intercept: uid, Port: 8080, Protocol: "UDP", Kind: wire.FlowRaw},
		"another intercept":              {Intercept: "6b1d3b1c-0000-4000-8000-000000000000", Port: 8080, Protocol: "TCP", Kind: wire.FlowHTTP},
	} {
		open.Client, open.Target = caller, called
		if refused, answer := attempt(t, pod, own, open); refused != "" || answer.Result != wire.NotIntercepted {
			t.Errorf("%s, from the pod itself: %s %+v", what, refused, answer)
		}
	}
	alice.leave(t)
	if refused, answer := attempt(t, pod, own, flow); refused == "" && answer.Result != wire.NotIntercepted {
		t.Errorf("after leaving: %s", fmt.Sprintf("%+v", answer))
	}
}
