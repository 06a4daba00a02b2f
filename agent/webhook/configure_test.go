// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func TestSet(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := admissionregistrationv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	writes := 0
	c := fake.NewClientBuilder().WithScheme(scheme).
		WithObjects(&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: ConfigurationName, Labels: map[string]string{"of": "the chart"}}}).
		WithInterceptorFuncs(interceptor.Funcs{Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			writes++
			return c.Update(ctx, o, opts...)
		}}).Build()
	configuration := Configuration{Reader: c, Writer: c, Namespace: "fairlead", Service: "fairlead-sidecars", CABundle: []byte("certificate")}
	for i, step := range []struct {
		namespaces []string
		writes     int
		selects    int
	}{
		{nil, 0, 0}, {[]string{"shop"}, 1, 1}, {[]string{"shop", "shop"}, 1, 1}, {[]string{"shop", "pay"}, 2, 2},
		{[]string{"pay", "shop"}, 2, 2}, {[]string{}, 3, 0}, {nil, 3, 0},
	} {
		if err := configuration.Set(t.Context(), step.namespaces); err != nil {
			t.Fatal(err)
		}
		var got admissionregistrationv1.MutatingWebhookConfiguration
		if err := c.Get(t.Context(), client.ObjectKey{Name: ConfigurationName}, &got); err != nil {
			t.Fatal(err)
		}
		if writes != step.writes || got.Labels["of"] != "the chart" {
			t.Errorf("step %d: %d writes, want %d", i, writes, step.writes)
		}
		if step.selects == 0 {
			if len(got.Webhooks) != 0 {
				t.Errorf("step %d: webhooks %+v", i, got.Webhooks)
			}
			continue
		}
		if len(got.Webhooks) != 1 || len(got.Webhooks[0].NamespaceSelector.MatchExpressions[0].Values) != step.selects || *got.Webhooks[0].FailurePolicy != admissionregistrationv1.Ignore {
			t.Errorf("step %d: webhooks %+v", i, got.Webhooks)
		}
	}
	if err := c.Delete(t.Context(), &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: ConfigurationName}}); err != nil {
		t.Fatal(err)
	}
	if err := configuration.Set(t.Context(), []string{"shop"}); err == nil {
		t.Error("no error without the object")
	}
}
