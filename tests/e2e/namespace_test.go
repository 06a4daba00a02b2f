// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/tests/e2e/harness"
)

// TestAnotherNamespace: `fairlead connect -n OTHER` changes where short names resolve, and nothing else: the session, a
// connection that is open and an intercept go on.
func TestAnotherNamespace(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	laptop := env.Laptop(0)
	kube := env.Cluster.Kubernetes().CoreV1()
	theirs := catalogOf(t, "annex")
	ours, err := kube.Services("shop").Get(ctx, "catalog", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	laptop.Connect(t)
	if r := laptop.Try(t, "fairlead", "intercept", "pricing", "--key", "blue", "--port", "3999"); r.Status != 0 {
		t.Fatalf("%s\n%s", r, laptop.Logs())
	}
	before := laptop.Status(t)
	if len(before.Intercepts) != 1 {
		t.Fatalf("intercepts: %+v", before.Intercepts)
	}
	long := startStream(t, laptop, "ledger.shop:7000")
	for _, step := range []struct{ namespace, address string }{{"annex", theirs}, {"shop", ours.Spec.ClusterIP}, {"annex", theirs}} {
		r := laptop.Try(t, "fairlead", "connect", "--namespace", step.namespace)
		if r.Status != 0 {
			t.Fatalf("%s\n%s", r, laptop.Logs())
		}
		t.Logf("namespace %s after %v", step.namespace, r.Took.Round(time.Millisecond))
		if out := laptop.Run(t, "getent", "ahostsv4", "catalog"); !strings.HasPrefix(out, step.address+" ") {
			t.Errorf("in %s, catalog is %q, want %s", step.namespace, out, step.address)
		}
		now := laptop.Status(t)
		if now.State != session.Connected || now.Namespace != step.namespace || now.Since == nil || !now.Since.Equal(*before.Since) || now.Addresses[0] != before.Addresses[0] {
			t.Errorf("it is not the session that it was: %+v", now)
		}
		if len(now.Intercepts) != 1 || now.Intercepts[0].ID != before.Intercepts[0].ID || now.Intercepts[0].Phase != session.InterceptActive {
			t.Errorf("the intercept did not stay: %+v", now.Intercepts)
		}
	}
	if result := long.end(t); result.Error != "" || result.LongestStall > switchLimit.Seconds() {
		t.Errorf("the connection noticed: %+v", result)
	}
	if r := laptop.Try(t, "fairlead", "connect", "--namespace", "nowhere"); r.Status != 25 || laptop.Status(t).Namespace != "annex" {
		t.Errorf("a namespace that is not there: %s", r)
	}
}

// catalogOf makes a namespace with a Service named catalog, and returns its address.
func catalogOf(t *testing.T, namespace string) string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	kube := env.Cluster.Kubernetes().CoreV1()
	if _, err := kube.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kube.Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "catalog"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	var made *corev1.Service
	harness.Eventually(t, 10*time.Second, "the namespace takes objects", func() (err error) {
		if made, err = kube.Services(namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("make a service: %w", err)
		}
		return nil
	})
	return made.Spec.ClusterIP
}
