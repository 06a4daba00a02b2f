// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/netip"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/flows"
)

// Sidecars that run keep the pin they were started with: an update must not change what follows from a key.
func TestIdentityFollowsFromTheKey(t *testing.T) {
	key := [32]byte(bytes.Repeat([]byte{7}, 32))
	id, err := deriveIdentity(key, "fairlead")
	if err != nil {
		t.Fatal(err)
	}
	const pin, credentials = "r2skjxpaZybGeCArLOeX7va5oZWvvImdDo8cJM8ob5k", "Z0gu6B48wr2NmJw6A9UV8yV4hxArMq0YtV0zcm7U-HM"
	if id.pin != pin {
		t.Errorf("pin %s", id.pin)
	}
	if again, err := deriveIdentity(key, "fairlead"); err != nil || !bytes.Equal(again.caBundle, id.caBundle) {
		t.Errorf("the second certificate is another one, %v", err)
	}
	if got := base64.RawURLEncoding.EncodeToString(id.credentialKey); got != credentials {
		t.Errorf("key of credentials %s", got)
	}
	other, err := deriveIdentity([32]byte{1}, "fairlead")
	if err != nil || other.pin == id.pin || bytes.Equal(other.credentialKey, id.credentialKey) {
		t.Errorf("another key gives pin %s, %v", other.pin, err)
	}
}

// The API server trusts the webhook by the certificate itself.
func TestCertificateIsItsOwnAuthority(t *testing.T) {
	id, err := deriveIdentity([32]byte{1}, "tools")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(id.caBundle) {
		t.Fatal("the bundle is not PEM")
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{id.certificate}})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	for name, trusted := range map[string]bool{"fairlead-sidecars.tools.svc": true, "fairlead-sidecars.fairlead.svc": false} {
		conn, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: roots, ServerName: name})
		if (err == nil) != trusted {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// reviewer answers TokenReviews.
func reviewer(t *testing.T, status authenticationv1.TokenReviewStatus, failure error) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := authenticationv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, o client.Object, _ ...client.CreateOption) error {
			review := o.(*authenticationv1.TokenReview)
			if review.Spec.Token != "token" || len(review.Spec.Audiences) != 1 || review.Spec.Audiences[0] != wire.Audience {
				t.Errorf("asked for %+v", review.Spec)
			}
			review.Status = status
			return failure
		},
	}).Build()
}

func TestTokenReview(t *testing.T) {
	good := authenticationv1.TokenReviewStatus{
		Authenticated: true, Audiences: []string{wire.Audience},
		User: authenticationv1.UserInfo{
			Username: "system:serviceaccount:shop:default",
			Extra:    map[string]authenticationv1.ExtraValue{podUIDExtra: {"u-1"}, podNameExtra: {"api-1"}},
		},
	}
	identity, err := tokenReviews{reviewer(t, good, nil)}.Review(t.Context(), "token")
	if want := (flows.Identity{PodUID: "u-1", Namespace: "shop", PodName: "api-1"}); err != nil || identity != want {
		t.Errorf("%+v, %v", identity, err)
	}
	for name, change := range map[string]func(*authenticationv1.TokenReviewStatus){
		"not authentic":      func(s *authenticationv1.TokenReviewStatus) { s.Authenticated = false },
		"an error":           func(s *authenticationv1.TokenReviewStatus) { s.Error = "expired" },
		"another audience":   func(s *authenticationv1.TokenReviewStatus) { s.Audiences = []string{"https://kubernetes.default.svc"} },
		"no audience":        func(s *authenticationv1.TokenReviewStatus) { s.Audiences = nil },
		"a person":           func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "anna" },
		"no service account": func(s *authenticationv1.TokenReviewStatus) { s.User.Username = "system:node:a:b" },
	} {
		status := *good.DeepCopy()
		change(&status)
		if _, err := (tokenReviews{reviewer(t, status, nil)}).Review(t.Context(), "token"); !errors.Is(err, flows.ErrToken) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := (tokenReviews{reviewer(t, good, errors.New("away"))}).Review(t.Context(), "token"); err == nil || errors.Is(err, flows.ErrToken) {
		t.Errorf("the API server is away: error %v", err)
	}
	unbound := *good.DeepCopy()
	unbound.User.Extra = nil
	if identity, err := (tokenReviews{reviewer(t, unbound, nil)}).Review(t.Context(), "token"); err != nil || identity.PodUID != "" {
		t.Errorf("a token of no pod: %+v, %v", identity, err)
	}
}

func TestSidecarGateways(t *testing.T) {
	service := func(addresses ...string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "fairlead", Name: sidecarService}, Spec: corev1.ServiceSpec{ClusterIPs: addresses}}
	}
	got, err := sidecarGateways(t.Context(), api(t, interceptor.Funcs{}, service("10.96.1.2", "fd00::1")), "fairlead")
	if err != nil || len(got) != 2 || got[0] != netip.MustParseAddrPort("10.96.1.2:8443") || got[1] != netip.MustParseAddrPort("[fd00::1]:8443") {
		t.Errorf("%v, %v", got, err)
	}
	for _, objects := range [][]client.Object{{}, {service()}, {service("None")}} {
		if got, err := sidecarGateways(t.Context(), api(t, interceptor.Funcs{}, objects...), "fairlead"); err == nil {
			t.Errorf("%v gives %v", objects, got)
		}
	}
}
