// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// reached wraps err as net/http does.
func reached(err error) error {
	return &url.Error{Op: "Post", URL: "https://192.0.2.1:6443/apis", Err: err}
}

func dialed(err error) error {
	return reached(&net.OpError{Op: "dial", Net: "tcp", Err: err})
}

func TestClassify(t *testing.T) {
	connections := Action{Verb: "patch", Group: "fairlead.dev", Resource: "connections", Namespace: "fairlead"}
	resource := schema.GroupResource{Group: "fairlead.dev", Resource: "connections"}
	tests := []struct {
		name    string
		err     error
		want    problem.Code
		message string
		hint    string
	}{
		{"expired credentials", apierrors.NewUnauthorized("Unauthorized"), problem.Unauthorized, "have expired", "Log in again"},
		{"missing right", apierrors.NewForbidden(resource, "eve-1", errors.New(`User "eve" cannot patch resource`)), problem.Forbidden,
			"does not let eve patch connections.fairlead.dev in namespace fairlead",
			"kubectl create rolebinding fairlead-connect-eve --role=fairlead-connect --user=eve --namespace=fairlead"},
		{"admission policy", apierrors.NewForbidden(resource, "eve-1", errors.New("ValidatingAdmissionPolicy 'fairlead' denied request: not yours")),
			problem.Forbidden, "not yours", "Another user owns"},
		{"overloaded", apierrors.NewTooManyRequests("slow down", 1), problem.ClusterUnreachable, "slow down", "again in a moment"},
		{"starting", apierrors.NewServiceUnavailable("starting"), problem.ClusterUnreachable, "starting", "again in a moment"},
		{"refused", dialed(os.NewSyscallError("connect", syscall.ECONNREFUSED)), problem.ClusterUnreachable, "nothing listens at https://192.0.2.1:6443", "cluster runs"},
		{"no route", dialed(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), problem.ClusterUnreachable, "does not answer", "VPN"},
		{"timeout", dialed(os.ErrDeadlineExceeded), problem.ClusterUnreachable, "does not answer", "VPN"},
		{"deadline", reached(context.DeadlineExceeded), problem.ClusterUnreachable, "does not answer", "VPN"},
		{"no such host", dialed(&net.DNSError{Err: "no such host", Name: "api.example.com", IsNotFound: true}), problem.ClusterUnreachable, "api.example.com", "VPN"},
		{"unknown authority", reached(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), problem.ClusterUnreachable, "not to be trusted", "certificate-authority"},
		{"not TLS", reached(tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}), problem.ClusterUnreachable, "does not speak TLS", "URL"},
		{"client certificate", reached(errors.New("remote error: tls: bad certificate")), problem.Unauthorized, "client certificate", "expired"},
		{"plugin fails", reached(errors.New("getting credentials: exec: executable aws failed with exit code 255")), problem.Unauthorized, "plugin", "Log in again"},
		{"plugin missing", reached(errors.New("getting credentials: exec: executable gke-gcloud-auth-plugin not found")), problem.Unauthorized, "is missing", "PATH"},
		{"token not renewed", reached(errors.New("oauth2: \"invalid_grant\"")), problem.Unauthorized, "renewed", "Log in again"},
		{"interrupted", reached(context.Canceled), problem.Cancelled, "interrupted", ""},
		{"anything else", errors.New("strange"), problem.ClusterUnreachable, "strange", "kubectl"},
		{"a problem already", fmt.Errorf("while connecting: %w", problem.New(problem.DNS, "hint", "names")), problem.DNS, "names", "hint"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := Classify(test.err, connections, Subject{Server: "https://192.0.2.1:6443", Context: "dev"})
			if p.Code != test.want || !strings.Contains(p.Message, test.message) || !strings.Contains(p.Hint, test.hint) {
				t.Errorf("got %s %q hint %q", p.Code, p.Message, p.Hint)
			}
		})
	}
}

func TestActionReadsLikeKubectl(t *testing.T) {
	for want, action := range map[string]Action{
		"list namespaces": {Verb: "list", Resource: "namespaces"},
		"get pods/portforward in namespace fairlead":          {Verb: "get", Resource: "pods/portforward", Namespace: "fairlead"},
		"create connections.fairlead.dev in namespace f":      {Verb: "create", Group: "fairlead.dev", Resource: "connections", Namespace: "f"},
		"update deployments.apps/scale in namespace fairlead": {Verb: "update", Group: "apps", Resource: "deployments/scale", Namespace: "fairlead"},
	} {
		if got := action.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestGrantHintIsSafeToPaste(t *testing.T) {
	action := Action{Verb: "create", Group: "fairlead.dev", Resource: "connections", Namespace: "fairlead"}
	if hint := GrantHint(action, "it's;rm -rf ~"); !strings.Contains(hint, `--user='it'\''s;rm -rf ~'`) {
		t.Errorf("not quoted: %s", hint)
	}
	if hint := GrantHint(action, "jo@example.com"); !strings.Contains(hint, "rolebinding fairlead-connect-jo-example-com --role=fairlead-connect --user=jo@example.com") {
		t.Errorf("got %s", hint)
	}
}

func TestConnectionName(t *testing.T) {
	name := ConnectionName("Jo.Doe@Example.com", "laptop-1")
	if !strings.HasPrefix(name, "jo-doe-example-com-") || len(name) != len("jo-doe-example-com-")+8 {
		t.Errorf("got %q", name)
	}
	for _, other := range []string{ConnectionName("jo.doe@example.com", "laptop-1"), ConnectionName("Jo.Doe@Example.com", "laptop-2")} {
		if other == name {
			t.Errorf("%q stands for two", name)
		}
	}
	if name := ConnectionName(strings.Repeat("x", 500), "laptop"); len(name) > 63 {
		t.Errorf("too long: %q", name)
	}
	if name := ConnectionName("日本", "laptop"); !strings.HasPrefix(name, "user-") {
		t.Errorf("got %q", name)
	}
}
