// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// connectLimit is how long what normally takes a moment may take before a test gives up.
const connectLimit = 20 * time.Second

// exitError is nil for a command that succeeded.
func exitError(r harness.Result) error {
	if r.Status == 0 {
		return nil
	}
	return errors.New(r.String())
}

func TestGatewayRunsUnderRestrictedPodSecurity(t *testing.T) {
	namespace, err := env.Cluster.Kubernetes().CoreV1().Namespaces().Get(t.Context(), "fairlead", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if level := namespace.Labels["pod-security.kubernetes.io/enforce"]; level != "restricted" {
		t.Errorf("the gateway's namespace enforces %q, not restricted", level)
	}
}

func TestTheInstallIsAHelmRelease(t *testing.T) {
	releases, err := env.Cluster.Kubernetes().CoreV1().Secrets("fairlead").List(t.Context(), metav1.ListOptions{LabelSelector: "owner=helm,status=deployed"})
	if err != nil {
		t.Fatal(err)
	}
	if len(releases.Items) != 1 || releases.Items[0].Labels["name"] != "fairlead" {
		t.Errorf("helm list would show %d releases, want the one named fairlead", len(releases.Items))
	}
}

func TestKubectlShowsHowALaptopIsConnected(t *testing.T) {
	laptop := env.Laptop(0)
	laptop.Connect(t, "--carrier", "udp")
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
	namespace, name, _ := strings.Cut(laptop.Status(t).Connection, "/")
	harness.Eventually(t, 5*time.Second, "the first handshake shows", func() error {
		r := laptop.Try(t, "kubectl", "-n", namespace, "get", "connection", name, "-o", "jsonpath={.status.carrier} {.status.lastHandshake}")
		if carrier, handshake, _ := strings.Cut(r.Stdout, " "); carrier != "udp" || handshake == "" {
			return errors.New(r.String())
		}
		return nil
	})
}

func TestUpgradeKeepsWhoIsConnected(t *testing.T) {
	laptop := env.Laptop(0)
	upgrade := func(level string) {
		if r := laptop.TryAs(t, "root", "fairlead", "gateway", "upgrade", "--set", "logLevel="+level); r.Status != 0 {
			t.Fatalf("%s", r)
		}
	}
	t.Cleanup(func() { upgrade("info") }) // after the laptop has disconnected
	laptop.Connect(t)
	upgrade("debug")
	harness.Eventually(t, connectLimit, "a service answers through the new gateway", answers(t, laptop))
	laptop.AwaitStatus(t, connectLimit, "the status says connected", func(s session.Status) bool { return s.State == session.Connected })
	if r := laptop.TryAs(t, "root", "fairlead", "gateway", "status"); r.Status != 0 || !strings.Contains(r.Stdout, "dev") {
		t.Errorf("the gateway's status should name who is connected: %s", r)
	}
}

func TestUninstallWarnsWhoIsConnectedAndLeavesNothing(t *testing.T) {
	laptop := env.Laptop(0)
	t.Cleanup(func() {
		if r := laptop.TryAs(t, "root", "fairlead", "gateway", "install"); r.Status != 0 {
			t.Errorf("install the gateway again: %s", r)
		}
	})
	laptop.Connect(t)
	refused(t, laptop.TryAs(t, "root", "fairlead", "gateway", "uninstall"), 33, "--force")
	laptop.Run(t, "curl", "-sS", "-m", "5", "http://catalog.shop/")
	laptop.Disconnect(t)

	if r := laptop.TryAs(t, "root", "fairlead", "gateway", "uninstall"); r.Status != 0 {
		t.Fatalf("%s", r)
	}
	harness.Eventually(t, 5*time.Second, "no object is left after uninstall", func() error {
		left, err := objectsOf(t, "fairlead")
		if err == nil && len(left) > 0 {
			err = errors.New(strings.Join(left, "\n"))
		}
		return err
	})
}

// objectsOf lists every object of the cluster that a name of Fairlead occurs in: in its own name, its namespace's or a label.
func objectsOf(t *testing.T, word string) (found []string, err error) {
	t.Helper()
	lists, err := env.Cluster.Kubernetes().Discovery().ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("list the cluster's resources: %w", err)
	}
	client, err := dynamic.NewForConfig(env.Cluster.RESTConfig())
	if err != nil {
		return nil, err
	}
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range list.APIResources {
			// Events are records of the past and expire by themselves.
			if resource.Kind == "Event" || !slices.Contains(resource.Verbs, "list") {
				continue
			}
			objects, err := client.Resource(group.WithResource(resource.Name)).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				continue // some can't be listed without a selector; none of those is ours
			}
			for _, o := range objects.Items {
				if strings.HasPrefix(o.GetName(), "fairlead-test-") {
					continue // the test cluster's own
				}
				if strings.Contains(o.GetName()+o.GetNamespace()+o.GetLabels()["app.kubernetes.io/name"], word) {
					found = append(found, resource.Name+" "+o.GetNamespace()+"/"+o.GetName())
				}
			}
		}
	}
	return found, nil
}
