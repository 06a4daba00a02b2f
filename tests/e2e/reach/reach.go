// SPDX-License-Identifier: Apache-2.0

// Package reach checks that everything in the sample shop answers a laptop as it would answer a pod of the namespace:
// by every form of its name, by address, and in every protocol.
//
// It owns the list of what must answer, so that every variant of the cluster is held to the same. It changes nothing.
package reach

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// catalogNames are the forms of the name of the service catalog that a pod of the namespace shop can use.
var catalogNames = []string{"catalog", "catalog.shop", "catalog.shop.svc", "catalog.shop.svc.cluster.local", "catalog.shop.svc.cluster.local."}

// Nothing checks that the cluster is out of the laptop's reach, and that public names answer.
func Nothing(t *testing.T, env *harness.Environment, laptop *harness.Laptop) {
	t.Helper()
	for _, url := range append(urls(catalogNames), "http://"+address(t, env, "service")+"/") {
		if r := laptop.Try(t, "curl", "-sS", "-m", "2", url); r.Status == 0 {
			t.Errorf("%s answers a laptop that is not connected: %s", url, r)
		}
	}
	Public(t, laptop)
}

// Public checks that public names and addresses answer as ever.
func Public(t *testing.T, laptop *harness.Laptop) {
	t.Helper()
	for _, url := range []string{"http://www.example.com/", "http://catalog.dev/"} {
		if r := laptop.Try(t, "curl", "-sS", "-m", "5", url); r.Status != 0 || !strings.Contains(r.Stdout, "public") {
			t.Errorf("the public %s does not answer: %s", url, r)
		}
	}
}

// Everything checks that every service and pod of the shop answers, by name and by address.
func Everything(t *testing.T, env *harness.Environment, laptop *harness.Laptop) {
	t.Helper()
	t.Run("names", func(t *testing.T) { names(t, laptop) })
	t.Run("addresses", func(t *testing.T) { addresses(t, env, laptop) })
	t.Run("protocols", func(t *testing.T) { protocols(t, laptop) })
	t.Run("dns", func(t *testing.T) { records(t, env, laptop) })
	t.Run("public", func(t *testing.T) { Public(t, laptop) })
}

func names(t *testing.T, laptop *harness.Laptop) {
	for _, url := range urls(catalogNames) {
		if r := laptop.Try(t, "curl", "-sS", "-m", "5", url); r.Status != 0 || !strings.Contains(r.Stdout, "catalog-") {
			t.Errorf("%s: %s", url, r)
		}
	}
	// A headless pod by its own name, and an external name that ends at a public host.
	for url, want := range map[string]string{
		"http://inventory-0.inventory.shop:8080/":                   "inventory-0",
		"http://inventory-1.inventory.shop.svc.cluster.local:8080/": "inventory-1",
		"http://docs.shop/": "",
	} {
		if r := laptop.Try(t, "curl", "-sS", "-m", "5", url); r.Status != 0 || !strings.Contains(r.Stdout, want) {
			t.Errorf("%s: %s", url, r)
		}
	}
}

func addresses(t *testing.T, env *harness.Environment, laptop *harness.Laptop) {
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://"+address(t, env, "service")+"/")
	pod := address(t, env, "pod")
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://"+pod+":8080/")
	for _, ip := range podAddresses(t, env) {
		r := laptop.Try(t, "ping", "-c", "2", "-W", "3", ip)
		if r.Status != 0 || !strings.Contains(r.Stdout, " 0% packet loss") {
			t.Errorf("ping of pod %s: %s", ip, r)
		}
	}
	// An address that no pod has must not answer, and must not look as if it did.
	if r := laptop.Try(t, "ping", "-c", "1", "-W", "1", "10.244.0.254"); r.Status == 0 {
		t.Errorf("an address without a pod answers ping: %s", r)
	}
	// A closed port is refused at once, not accepted and dropped, and not left to time out.
	r := laptop.Try(t, "curl", "-sS", "-m", "5", "http://"+pod+":1/")
	if r.Status != 7 {
		t.Errorf("a closed port should be refused (curl exit status 7): %s", r)
	}
}

func protocols(t *testing.T, laptop *harness.Laptop) {
	traffic := laptop.TrafficProgram()
	for what, c := range map[string]struct {
		args []string
		want string
	}{
		"udp":        {[]string{"datagram", "echo.shop:7", "over udp"}, "over udp"},
		"large udp":  {[]string{"datagram", "--size", "8000", "echo.shop:7", "large"}, "large..."},
		"grpc":       {[]string{"grpc", "pricing.shop:9090"}, "SERVING SERVING"},
		"web socket": {[]string{"websocket", "ws://stream.shop/ws", "over a web socket"}, "over a web socket"},
	} {
		if r := laptop.Try(t, append([]string{traffic}, c.args...)...); r.Status != 0 || !strings.Contains(r.Stdout, c.want) {
			t.Errorf("%s: %s", what, r)
		}
	}
	// A raw TCP connection whose sending half is closed still gets everything back.
	r := laptop.Try(t, "sh", "-c", "printf 'half closed' | timeout 5 socat -t 5 - TCP:ledger.shop:7000")
	if r.Status != 0 || !strings.Contains(r.Stdout, "half closed") {
		t.Errorf("raw tcp: %s", r)
	}
}

func records(t *testing.T, env *harness.Environment, laptop *harness.Laptop) {
	service := address(t, env, "service")
	if r := laptop.Run(t, "getent", "ahostsv4", "catalog.shop"); !strings.Contains(r, service) {
		t.Errorf("catalog.shop should be %s: %s", service, r)
	}
	if r := laptop.Run(t, "getent", "hosts", service); !strings.Contains(r, "catalog.shop.svc.cluster.local") {
		t.Errorf("the name of %s should be catalog.shop.svc.cluster.local: %s", service, r)
	}
	if r := laptop.Try(t, "getent", "hosts", "no-such-service.shop"); r.Status != 2 {
		t.Errorf("a service that does not exist should not resolve (getent exit status 2): %s", r)
	}
}

// urls makes a URL of each name.
func urls(names []string) []string {
	var all []string
	for _, name := range names {
		all = append(all, "http://"+name+"/")
	}
	return all
}

// address returns the address of the service catalog, or of one of its pods, for use in a URL.
func address(t *testing.T, env *harness.Environment, of string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	client := env.Cluster.Kubernetes().CoreV1()
	if of == "service" {
		service, err := client.Services("shop").Get(ctx, "catalog", metav1.GetOptions{})
		if err != nil {
			t.Fatalf("read service catalog: %v", err)
		}
		return service.Spec.ClusterIP
	}
	pods, err := client.Pods("shop").List(ctx, metav1.ListOptions{LabelSelector: "app=catalog"})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("find a pod of catalog: %v, %d found", err, len(pods.Items))
	}
	return pods.Items[0].Status.PodIP
}

// podAddresses returns all addresses, of every family, of one pod.
func podAddresses(t *testing.T, env *harness.Environment) []string {
	t.Helper()
	pods, err := env.Cluster.Kubernetes().CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{LabelSelector: "app=catalog"})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("find a pod of catalog: %v, %d found", err, len(pods.Items))
	}
	var all []string
	for _, ip := range pods.Items[0].Status.PodIPs {
		all = append(all, ip.IP)
	}
	return all
}

// OverIPv6 checks that services and pods answer over IPv6 too.
func OverIPv6(t *testing.T, env *harness.Environment, laptop *harness.Laptop) {
	t.Helper()
	services, err := env.Cluster.Kubernetes().CoreV1().Services("shop").Get(t.Context(), "catalog", metav1.GetOptions{})
	if err != nil {
		t.Fatalf("read service catalog: %v", err)
	}
	var six []netip.Addr
	for _, text := range append(services.Spec.ClusterIPs, podAddresses(t, env)...) {
		if ip := netip.MustParseAddr(text); ip.Is6() {
			six = append(six, ip)
		}
	}
	if len(six) != 2 {
		t.Fatalf("catalog should have an IPv6 service and pod address, has %v", six)
	}
	laptop.Run(t, "curl", "-sS", "-m", "5", fmt.Sprintf("http://[%s]/", six[0]))
	laptop.Run(t, "curl", "-sS", "-m", "5", fmt.Sprintf("http://[%s]:8080/", six[1]))
	laptop.Run(t, "curl", "-6", "-sS", "-m", "5", "http://catalog.shop/")
	laptop.Run(t, "ping", "-6", "-c", "1", "-W", "3", six[1].String())
}
