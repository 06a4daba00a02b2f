// SPDX-License-Identifier: Apache-2.0

// Package webhook answers the API server about pods that are being made: those that an intercept is for are born with a
// sidecar. It also keeps the MutatingWebhookConfiguration, so that the API server asks only about namespaces with
// intercepts.
//
// It owns the protocol (AdmissionReview), its bounds, and the configuration. What a pod gets is decided by the Injector. A
// pod must never fail or wait because of it: whatever goes wrong, the pod is made without a sidecar, with a warning.
package webhook
