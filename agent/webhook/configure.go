// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ConfigurationName is the MutatingWebhookConfiguration's. The chart makes it without webhooks, and has no opinion on
// them, so that an upgrade leaves those alone that the gateway has put in.
const ConfigurationName = "fairlead-gateway"

// webhookName is that of the one webhook in it.
const webhookName = "inject.fairlead.dev"

// timeoutSeconds is how long the API server waits for an answer before it makes the pod without.
const timeoutSeconds = 2

// Configuration says where the API server finds the webhook, and keeps the MutatingWebhookConfiguration.
type Configuration struct {
	Reader client.Reader // of the API server itself: there is no need to watch what changes so rarely
	Writer client.Writer
	// Namespace and Service are those of the gateway's Service, whose port 443 leads to the webhook.
	Namespace, Service string
	CABundle           []byte // PEM
}

// Set has the API server ask about new pods of these namespaces, and about no others. It writes only if that is not so
// already.
func (c Configuration) Set(ctx context.Context, namespaces []string) error {
	wanted := c.webhooks(namespaces)
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		var current admissionregistrationv1.MutatingWebhookConfiguration
		if err := c.Reader.Get(ctx, client.ObjectKey{Name: ConfigurationName}, &current); err != nil {
			return err
		}
		if len(wanted) == 0 && len(current.Webhooks) == 0 || reflect.DeepEqual(wanted, current.Webhooks) {
			return nil
		}
		current.Webhooks = wanted
		return c.Writer.Update(ctx, &current)
	})
	if err != nil {
		return fmt.Errorf("set the MutatingWebhookConfiguration %s: %w", ConfigurationName, err)
	}
	return nil
}

// webhooks returns what is to be in the configuration, with all that the API server would fill in.
func (c Configuration) webhooks(namespaces []string) []admissionregistrationv1.MutatingWebhook {
	namespaces = slices.Compact(slices.Sorted(slices.Values(namespaces)))
	if len(namespaces) == 0 {
		return nil
	}
	return []admissionregistrationv1.MutatingWebhook{{
		Name: webhookName,
		ClientConfig: admissionregistrationv1.WebhookClientConfig{
			Service:  &admissionregistrationv1.ServiceReference{Namespace: c.Namespace, Name: c.Service, Path: new(Path), Port: new(int32(443))},
			CABundle: c.CABundle,
		},
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
			Rule: admissionregistrationv1.Rule{
				APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}, Scope: new(admissionregistrationv1.NamespacedScope),
			},
		}},
		FailurePolicy: new(admissionregistrationv1.Ignore), // a gateway that is away keeps no pod from being made
		MatchPolicy:   new(admissionregistrationv1.Equivalent),
		NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
			Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: namespaces,
		}}},
		ObjectSelector: &metav1.LabelSelector{}, SideEffects: new(admissionregistrationv1.SideEffectClassNone),
		TimeoutSeconds: new(int32(timeoutSeconds)), AdmissionReviewVersions: []string{"v1"},
		ReinvocationPolicy: new(admissionregistrationv1.NeverReinvocationPolicy),
	}}
}
