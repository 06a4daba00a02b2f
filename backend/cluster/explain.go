// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Action is what was asked of the API server, in the words of RBAC.
type Action struct {
	Verb      string
	Group     string // empty is the core group
	Resource  string // plural, with the subresource after a slash
	Namespace string // empty for what has none
}

// String names the action as kubectl auth can-i would.
func (a Action) String() string {
	resource := a.Resource
	if a.Group != "" {
		name, sub, _ := strings.Cut(a.Resource, "/")
		resource = name + "." + a.Group
		if sub != "" {
			resource += "/" + sub
		}
	}
	if a.Namespace == "" {
		return a.Verb + " " + resource
	}
	return fmt.Sprintf("%s %s in namespace %s", a.Verb, resource, a.Namespace)
}

// Subject is from whose point of view a refusal is explained.
type Subject struct {
	Server  string // URL of the API server
	Context string // of the kubeconfig
	User    string // Kubernetes user name, empty if unknown
}

// Explain turns an error of the API server, or of the way there, into a problem that people understand. Where a
// credential plugin failed, it runs it once more to learn what it says. A *problem.Problem stays what it is.
func (a *Access) Explain(ctx context.Context, err error, action Action) error {
	if err == nil {
		return nil
	}
	p := Classify(err, action, Subject{Server: a.config.Host, Context: a.context})
	if p.Code == problem.Unauthorized && a.exec != nil && isPluginError(err) {
		p.Details = append(p.Details, pluginOutput(ctx, a.exec)...)
	}
	return p
}

// Classify turns an error of the API server, or of the way there, into a problem that people understand.
func Classify(err error, action Action, s Subject) *problem.Problem {
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return p
	}
	for _, classify := range []func(error, Action, Subject) *problem.Problem{classifyStatus, classifyCredentials, classifyTrust, classifyNetwork} {
		if p := classify(err, action, s); p != nil {
			return p
		}
	}
	return problem.Wrap(err, problem.ClusterUnreachable, "Try 'kubectl --context "+s.Context+" get namespaces': it meets the same error.",
		"the cluster at %s did not carry out '%s'", s.Server, action)
}

// classifyStatus explains what the API server itself answered.
func classifyStatus(err error, action Action, s Subject) *problem.Problem {
	switch {
	case apierrors.IsUnauthorized(err):
		return problem.Wrap(err, problem.Unauthorized,
			"Log in again as you do for kubectl, then connect again. 'kubectl auth whoami' shows whether it worked.",
			"the cluster at %s does not accept the credentials of context %q: they are wrong or have expired", s.Server, s.Context)
	case isAdmissionRefusal(err):
		return problem.Wrap(err, problem.Forbidden, "Another user owns this object; only they, or an administrator of the gateway, may change it.",
			"the cluster's admission policy refused '%s'", action)
	case apierrors.IsForbidden(err):
		return forbidden(err, action, s)
	case apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err), apierrors.IsServerTimeout(err), apierrors.IsTimeout(err),
		apierrors.IsInternalError(err), apierrors.IsUnexpectedServerError(err):
		return problem.Wrap(err, problem.ClusterUnreachable, "The API server is overloaded or just starting. Try again in a moment.",
			"the cluster at %s could not carry out '%s'", s.Server, action)
	}
	return nil
}

// isAdmissionRefusal reports whether an admission policy or webhook, not RBAC, said no.
func isAdmissionRefusal(err error) bool {
	return (apierrors.IsForbidden(err) || apierrors.IsInvalid(err)) && strings.Contains(err.Error(), "ValidatingAdmissionPolicy")
}

// forbidden names the right that is missing and who grants it.
func forbidden(err error, action Action, s Subject) *problem.Problem {
	who := s.User
	if who == "" {
		who = forbiddenUser(err)
	}
	display := who
	if display == "" {
		display = "you"
	}
	p := problem.New(problem.Forbidden, GrantHint(action, who), "the cluster does not let %s %s", display, action)
	p.Details = []string{action.String()}
	return p
}

var forbiddenUserPattern = regexp.MustCompile(`User "([^"]+)" cannot`)

// forbiddenUser takes the user's name from the API server's own words.
func forbiddenUser(err error) string {
	if match := forbiddenUserPattern.FindStringSubmatch(err.Error()); match != nil {
		return match[1]
	}
	return ""
}

// GrantHint says who grants the right to do action, and with which command.
func GrantHint(action Action, user string) string {
	if user == "" {
		user = "USER"
	}
	if action.Group == "fairlead.dev" && action.Resource == "connections" || strings.HasPrefix(action.Resource, "pods/portforward") {
		return fmt.Sprintf("An administrator grants it with the role that came with the gateway: "+
			"kubectl create rolebinding %s --role=fairlead-connect --user=%s --namespace=%s",
			shellQuote("fairlead-connect-"+slug(user)), shellQuote(user), action.Namespace)
	}
	if action.Group == "fairlead.dev" && action.Resource == "intercepts" && action.Namespace != "" {
		return fmt.Sprintf("Whoever has the role edit in the namespace may intercept there. An administrator grants that alone with: "+
			"kubectl create rolebinding %s --clusterrole=fairlead-developer --user=%s --namespace=%s",
			shellQuote("fairlead-developer-"+slug(user)), shellQuote(user), action.Namespace)
	}
	return fmt.Sprintf("Ask an administrator of the cluster for the right to %s. Check with: kubectl auth can-i %s", action, canI(action))
}

func canI(a Action) string {
	resource := a.Resource
	if a.Group != "" {
		name, sub, found := strings.Cut(a.Resource, "/")
		resource = name + "." + a.Group
		if found {
			resource += "/" + sub
		}
	}
	line := a.Verb + " " + resource
	if a.Namespace != "" {
		line += " --namespace=" + a.Namespace
	}
	return line
}

// classifyCredentials explains credential plugins and token sources that failed.
func classifyCredentials(err error, _ Action, s Subject) *problem.Problem {
	text := err.Error()
	switch {
	case isPluginError(err) && strings.Contains(text, "not found"):
		return problem.Wrap(err, problem.Unauthorized, "Install the credential plugin, or correct its name in the kubeconfig. It must be on your PATH.",
			"the credential plugin of context %q is missing", s.Context)
	case isPluginError(err):
		return problem.Wrap(err, problem.Unauthorized, "Log in again as you do for kubectl (its plugin printed the lines above), then connect again.",
			"the credential plugin of context %q gave no credentials", s.Context)
	case strings.Contains(text, "oauth2:"), strings.Contains(text, "failed to refresh token"):
		return problem.Wrap(err, problem.Unauthorized, "Log in again as you do for kubectl, then connect again.",
			"the token of context %q could not be renewed", s.Context)
	}
	return nil
}

// isPluginError reports whether client-go could not get credentials from an exec plugin; it has no type for that.
func isPluginError(err error) bool { return strings.Contains(err.Error(), "getting credentials: ") }

// classifyTrust explains certificates that don't fit.
func classifyTrust(err error, _ Action, s Subject) *problem.Problem {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, hostname := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	_, header := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case verification || authority || hostname || invalid:
		return problem.Wrap(err, problem.ClusterUnreachable,
			"Check certificate-authority and server of this context in the kubeconfig. A clock that is wrong by days has the same effect.",
			"the certificate of the cluster at %s is not to be trusted", s.Server)
	case header:
		return problem.Wrap(err, problem.ClusterUnreachable, "Check the server's URL in the kubeconfig, and the proxy if there is one.",
			"what answers at %s does not speak TLS", s.Server)
	case strings.Contains(err.Error(), "remote error: tls:"):
		return problem.Wrap(err, problem.Unauthorized, "Check the client certificate of this context in the kubeconfig: it may have expired.",
			"the cluster at %s refused the client certificate of context %q", s.Server, s.Context)
	}
	return nil
}

// classifyNetwork explains a way to the API server that does not work.
func classifyNetwork(err error, action Action, s Subject) *problem.Problem {
	netErr, isNet := errors.AsType[net.Error](err)
	dnsErr, isDNS := errors.AsType[*net.DNSError](err)
	cause := err // of a request that failed, what the network says: its address is said already
	if opErr, ok := errors.AsType[*net.OpError](err); ok {
		cause = opErr
	}
	switch {
	case errors.Is(err, context.Canceled):
		return problem.Wrap(err, problem.Cancelled, "", "'%s' was interrupted", action)
	case isDNS:
		return problem.Wrap(err, problem.ClusterUnreachable, "Check the network of this machine, a VPN that the cluster needs, and the server's name in the kubeconfig.",
			"the name %s of the cluster at %s can't be resolved", dnsErr.Name, s.Server)
	case errors.Is(err, syscall.ECONNREFUSED):
		return problem.Wrap(cause, problem.ClusterUnreachable, "Check that the cluster runs, and the server's address and port in the kubeconfig.",
			"nothing listens at %s", s.Server)
	case errors.Is(err, context.DeadlineExceeded), isNet && netErr.Timeout(), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return problem.Wrap(cause, problem.ClusterUnreachable, "Check the network of this machine, a VPN that the cluster needs, and the server's address in the kubeconfig.",
			"the cluster at %s does not answer", s.Server)
	}
	return nil
}

// slug makes a name that Kubernetes accepts as part of an object's name.
func slug(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
			b.WriteByte('-')
		}
		if b.Len() >= 40 {
			break
		}
	}
	if s := strings.Trim(b.String(), "-"); s != "" {
		return s
	}
	return "user"
}

// shellQuote quotes a word for a POSIX shell where it needs it.
func shellQuote(word string) string {
	if regexp.MustCompile(`^[A-Za-z0-9._:@/-]+$`).MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
