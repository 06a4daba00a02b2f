// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func api(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(funcs).Build()
}

func keySecret(key string) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead", Name: secretName, UID: "uid-1"}}
	if key != "" {
		secret.Data = map[string][]byte{keyField: []byte(key)}
	}
	return secret
}

func TestKeyIsMadeOnceAndKept(t *testing.T) {
	c := api(t, interceptor.Funcs{}, keySecret(""))
	first, uid, err := loadKey(t.Context(), c, c, "fairlead")
	if err != nil || uid != "uid-1" {
		t.Fatalf("uid %q, error %v", uid, err)
	}
	if first == ([32]byte{}) || first[0]&7 != 0 || first[31]&0xc0 != 0x40 {
		t.Errorf("%x is not a Curve25519 private key", first)
	}
	if again, _, err := loadKey(t.Context(), c, c, "fairlead"); err != nil || again != first {
		t.Errorf("the second start has another key, error %v", err)
	}
}

func TestKeyOfAnotherReplicaWins(t *testing.T) {
	theirs := "iMiqFo7m3QJXqyYyLvLmsBeQqvMDHA+g4eHDWBVLnlM="
	c := api(t, interceptor.Funcs{
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, _ ...client.UpdateOption) error {
			other := keySecret(theirs)
			other.ResourceVersion = o.GetResourceVersion()
			if err := c.Update(ctx, other); err != nil {
				return err
			}
			return apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, secretName, nil)
		},
	}, keySecret(""))
	got, _, err := loadKey(t.Context(), c, c, "fairlead")
	if err != nil || got[0] != 0x88 {
		t.Errorf("key %x, error %v", got, err)
	}
}

func TestBrokenKeyIsNotReplaced(t *testing.T) {
	for _, text := range []string{"x", "AAAA", strings.Repeat("A", 48)} {
		c := api(t, interceptor.Funcs{}, keySecret(text))
		if _, _, err := loadKey(t.Context(), c, c, "fairlead"); err == nil || !strings.Contains(err.Error(), secretName) {
			t.Errorf("%q: error %v", text, err)
		}
	}
	if c := api(t, interceptor.Funcs{}); true {
		if _, _, err := loadKey(t.Context(), c, c, "fairlead"); !apierrors.IsNotFound(err) {
			t.Errorf("no Secret: error %v", err)
		}
	}
}

func TestMarkActiveLeavesOnePod(t *testing.T) {
	pod := func(name string, labels map[string]string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead", Name: name, Labels: labels}}
	}
	c := api(t, interceptor.Funcs{}, pod("new", map[string]string{"app": "x"}), pod("old", map[string]string{"app": "x", activeLabel: "true"}), pod("standby", nil))
	for range 2 { // again, as after a restart of the container
		if err := markActive(t.Context(), c, c, Pod{Name: "new", Namespace: "fairlead"}); err != nil {
			t.Fatal(err)
		}
	}
	var pods corev1.PodList
	if err := c.List(t.Context(), &pods); err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		if active := p.Labels[activeLabel] == "true"; active != (p.Name == "new") {
			t.Errorf("pod %s has labels %v", p.Name, p.Labels)
		}
		if p.Name != "standby" && p.Labels["app"] != "x" {
			t.Errorf("pod %s lost a label", p.Name)
		}
	}
}
