// SPDX-License-Identifier: Apache-2.0

package dualstack

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// TestIntercept: a key and all traffic, over both address families, by either carrier.
func TestIntercept(t *testing.T) {
	laptop := env.Laptop(0)
	program := laptop.Command(context.WithoutCancel(t.Context()), harness.User, "env", "POD_NAME=laptop", "shop", "catalog")
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { program.Process.Kill(); program.Wait() }()
	harness.Eventually(t, 5*time.Second, "the local program answers", func() error {
		if r := laptop.Try(t, "curl", "-sS", "-m", "2", "http://127.0.0.1:8080/"); r.Status != 0 {
			return errors.New(r.String())
		}
		return nil
	})
	service, err := env.Cluster.Kubernetes().CoreV1().Services("shop").Get(t.Context(), "catalog", metav1.GetOptions{})
	if err != nil || len(service.Spec.ClusterIPs) != 2 {
		t.Fatalf("addresses of catalog: %v %v", service.Spec.ClusterIPs, err)
	}
	for _, carrier := range []string{"udp", "relay"} {
		t.Run(carrier, func(t *testing.T) {
			laptop.Connect(t, "--carrier", carrier)
			answers := func(address, header string) bool {
				out := laptop.Run(t, "curl", "-sS", "-m", "5", "-H", header, "http://"+net.JoinHostPort(address, "80")+"/hello")
				return strings.Contains(out, "laptop")
			}
			for _, mode := range [][]string{{"--key", "dual"}, {"--all"}} {
				laptop.Run(t, append([]string{"fairlead", "intercept", "catalog", "--port", "8080:http"}, mode...)...)
				for _, address := range service.Spec.ClusterIPs {
					if !answers(address, "x-fairlead: dual") {
						t.Errorf("%v: the laptop did not answer at %s", mode, address)
					}
					if answers(address, "x-fairlead: other") != (mode[0] == "--all") {
						t.Errorf("%v: somebody else's request at %s", mode, address)
					}
				}
				laptop.Run(t, "fairlead", "leave", "catalog")
				for _, address := range service.Spec.ClusterIPs {
					if answers(address, "x-fairlead: dual") {
						t.Errorf("%v: the laptop answers at %s after leaving", mode, address)
					}
				}
			}
			laptop.Disconnect(t)
		})
	}
}
