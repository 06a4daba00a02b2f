// SPDX-License-Identifier: Apache-2.0

package diagnostics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	core "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// checkTimeout bounds each check. It covers a credential plugin that asks a server.
const checkTimeout = 15 * time.Second

// run makes the checks of the machine, of the cluster and of the session at the same time.
func run(ctx context.Context, env Environment) []Check {
	parts := []func(context.Context, Environment) []Check{checkHelper, checkCluster, checkSession, checkIntercepts}
	results := make([][]Check, len(parts))
	var wait sync.WaitGroup
	for i, part := range parts {
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, checkTimeout)
			defer cancel()
			results[i] = part(ctx, env)
		})
	}
	wait.Wait()
	var all []Check
	for _, result := range results {
		all = append(all, result...)
	}
	return all
}

// A title for each name, so that a check is called the same however it ends.
var titles = map[string]string{
	"helper":          "Helper service",
	"helper-version":  "Helper version",
	"helper-access":   "Right to use the helper",
	"kubeconfig":      "Kubeconfig",
	"cluster":         "Cluster and credentials",
	"gateway":         "Gateway in the cluster",
	"gateway-version": "Gateway version",
	"rights":          "Rights in the cluster",
	"namespace":       "Namespace",
	"connection":      "Connection",
	"carrier":         "Way to the gateway",
	"names":           "Names of the cluster",
	"service":         "A service of the cluster",
	"intercepts":      "Intercepts of this laptop",
}

func ok(name, format string, args ...any) Check {
	return Check{Name: name, Title: titles[name], Status: OK, Message: fmt.Sprintf(format, args...)}
}

func warn(name, hint, format string, args ...any) Check {
	return Check{Name: name, Title: titles[name], Status: Warn, Message: fmt.Sprintf(format, args...), Hint: hint}
}

func skip(name, because string) Check {
	return Check{Name: name, Title: titles[name], Status: Skip, Message: because}
}

// failed shows a problem with its details.
func failed(name string, err error) Check {
	p := problem.From(err)
	message := p.Message
	if len(p.Details) > 1 {
		message += " (" + strings.Join(p.Details, "; ") + ")"
	}
	return Check{Name: name, Title: titles[name], Status: Fail, Message: message, Hint: p.Hint}
}

// checkHelper asks the helper who it is and whether it serves this user.
func checkHelper(ctx context.Context, env Environment) []Check {
	dialer := env.Helper
	if dialer == nil {
		dialer = session.SystemHelper()
	}
	helper, err := dialer.Dial(ctx)
	if err != nil {
		return []Check{failed("helper", session.ExplainHelper(err)), skip("helper-version", "the helper does not run"), skip("helper-access", "the helper does not run")}
	}
	defer helper.Close() //nolint:errcheck // nothing depends on it
	version, err := helper.Version(ctx)
	if err != nil {
		if p, isProblem := errors.AsType[*problem.Problem](session.ExplainHelper(err)); isProblem && p.Code == problem.HelperDenied {
			return []Check{ok("helper", "it runs"), skip("helper-version", "the helper does not serve this user"), failed("helper-access", p)}
		}
		return []Check{failed("helper", session.ExplainHelper(err)), skip("helper-version", "the helper does not answer"), skip("helper-access", "the helper does not answer")}
	}
	checks := []Check{ok("helper", "it runs")}
	if err := session.CheckHelperVersion(env.Version, version.Version); err != nil {
		checks = append(checks, failed("helper-version", err))
	} else {
		checks = append(checks, ok("helper-version", "%s", version.Version))
	}
	status, err := helper.Status(ctx)
	if err != nil {
		return append(checks, failed("helper-access", session.ExplainHelper(err)))
	}
	if status.User != "" && (env.Status.State == "" || env.Status.State == session.Disconnected) {
		return append(checks, ok("helper-access", "it serves you; %s is connected", status.User))
	}
	return append(checks, ok("helper-access", "it serves you"))
}

// checkCluster looks at all that lies between the kubeconfig and the gateway.
func checkCluster(ctx context.Context, env Environment) []Check {
	skipFrom := func(checks []Check, because string) []Check {
		for _, name := range []string{"kubeconfig", "cluster", "gateway", "gateway-version", "rights", "namespace"}[len(checks):] {
			checks = append(checks, skip(name, because))
		}
		return checks
	}
	access, err := cluster.Open(env.Options.Cluster())
	if err != nil {
		return skipFrom([]Check{failed("kubeconfig", err)}, "no cluster without a kubeconfig")
	}
	defer access.Close()
	checks := []Check{ok("kubeconfig", "context %s, namespace %s", access.Context(), access.Namespace())}
	user, err := access.Identity(ctx)
	if err != nil {
		return skipFrom(append(checks, failed("cluster", err)), "the cluster could not be asked")
	}
	checks = append(checks, ok("cluster", "%s answers; you are %s", access.Server(), user))
	namespace := cmp.Or(env.Options.GatewayNamespace, session.DefaultGatewayNamespace)
	if err := access.GatewayInstalled(ctx, namespace); err != nil {
		return skipFrom(append(checks, failed("gateway", err)), "there is no gateway")
	}
	checks = append(checks, checkGateway(ctx, env, access, namespace)...)
	return append(checks, checkRights(ctx, access, namespace, user), checkNamespace(ctx, access))
}

func checkRights(ctx context.Context, access *cluster.Access, namespace, user string) Check {
	missing, err := access.Missing(ctx, cluster.ConnectRights(namespace))
	switch {
	case err != nil:
		return failed("rights", err)
	case len(missing) > 0:
		return failed("rights", cluster.ForbiddenBy(missing, user))
	}
	return ok("rights", "you may connect through the gateway in namespace %s, by UDP and by relay", namespace)
}

// checkNamespace looks for the namespace that short names are in.
func checkNamespace(ctx context.Context, access *cluster.Access) Check {
	name := access.Namespace()
	there, err := access.HasNamespace(ctx, name)
	switch {
	case errors.Is(err, problem.New(problem.Forbidden, "", "")):
		return skip("namespace", "you may not look whether there is a namespace "+name)
	case err != nil:
		return failed("namespace", err)
	case there:
		return ok("namespace", "the namespace %s is there", name)
	}
	all, err := access.Namespaces(ctx)
	if err != nil {
		all = nil // they are only a hint
	}
	return failed("namespace", session.NoNamespace(name, all))
}

// checkGateway looks at the gateway's pods.
func checkGateway(ctx context.Context, env Environment, access *cluster.Access, namespace string) []Check {
	pods, err := access.GatewayPods(ctx, namespace)
	if errors.Is(err, problem.New(problem.Forbidden, "", "")) {
		return []Check{skip("gateway", "it is installed; you may not list its pods"), skip("gateway-version", "you may not list the gateway's pods")}
	}
	if err != nil {
		return []Check{failed("gateway", err), skip("gateway-version", "the gateway's pods can't be listed")}
	}
	var active *core.Pod
	var states []string
	for i, pod := range pods {
		states = append(states, pod.Name+" is "+cluster.PodState(pod))
		if pod.Labels[cluster.ActiveLabel] == "true" && pod.DeletionTimestamp == nil {
			active = &pods[i]
		}
	}
	if active == nil {
		found := "it has no pods in namespace " + namespace
		if len(states) > 0 {
			found = "none of its pods serves: " + strings.Join(states, "; ")
		}
		return []Check{
			failed("gateway", problem.New(problem.GatewayNotReady, "See: fairlead gateway status, and kubectl describe pods --namespace "+namespace+".", "%s", found)),
			skip("gateway-version", "no pod of the gateway serves"),
		}
	}
	checks := []Check{ok("gateway", "%s", strings.Join(states, "; "))}
	version := cmp.Or(active.Labels[cluster.VersionLabel], env.Status.Gateway.Version, imageVersion(active))
	if version == "" {
		return append(checks, skip("gateway-version", "the pod does not say its version"))
	}
	if err := session.CheckGatewayVersion(env.Version, version); err != nil {
		return append(checks, failed("gateway-version", err))
	}
	return append(checks, ok("gateway-version", "%s", version))
}

// imageVersion is the tag of the gateway's image, which by default is its version; empty if there is none.
func imageVersion(pod *core.Pod) string {
	for _, c := range pod.Spec.Containers {
		name, _, _ := strings.Cut(c.Image, "@")
		if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
			return name[i+1:]
		}
	}
	return ""
}

// checkSession looks at the session, and tries what it is for.
func checkSession(ctx context.Context, env Environment) []Check {
	s := env.Status
	if s.State == "" || s.State == session.Disconnected {
		because := "not connected"
		return []Check{skip("connection", because), skip("carrier", because), skip("names", because), skip("service", because)}
	}
	if asked := elsewhere(env); asked != "" {
		because := "not connected to " + asked
		return []Check{
			skip("connection", fmt.Sprintf("connected to %s as %s, not to %s", s.Context, s.User, asked)),
			skip("carrier", because), skip("names", because), skip("service", because),
		}
	}
	var checks []Check
	switch {
	case s.State == session.Connected && s.Problem == nil:
		checks = append(checks, ok("connection", "connected to %s as %s", s.Context, s.User))
	case s.Problem != nil:
		checks = append(checks, failed("connection", s.Problem))
	default:
		checks = append(checks, warn("connection", "Wait a moment and look again.", "%s: %s", s.State, s.Step))
	}
	checks = append(checks, checkCarrier(s))
	if s.State != session.Connected {
		return append(checks, skip("names", "nothing answers at the moment"), skip("service", "nothing answers at the moment"))
	}
	return append(checks, checkNames(ctx, s)...)
}

// elsewhere names the cluster or user that was asked about, if the session is with another.
func elsewhere(env Environment) string {
	asked, server := env.Options.Context, ""
	access, err := cluster.Open(env.Options.Cluster())
	if err == nil {
		defer access.Close()
		asked, server = access.Context(), access.Server()
	}
	switch as := env.Options.As; {
	case asked != "" && asked != env.Status.Context:
		return asked
	case server != "" && server != env.Status.Server:
		return asked + " at " + server
	case as != "" && as != env.Status.User:
		return asked + " as " + as
	}
	return ""
}

func checkCarrier(s session.Status) Check {
	switch {
	case s.Carrier.Active == "":
		return failed("carrier", problem.New(problem.NoCarrier, "Check that this network lets UDP through to the nodes, or that 'kubectl port-forward' works.", "%s", cmp.Or(s.Carrier.Reason, "nothing answers")))
	case s.Carrier.Active == string(session.CarrierRelay) && s.Carrier.Mode != session.CarrierRelay:
		return warn("carrier", "Let UDP through to the gateway's node port for more speed: see 'fairlead gateway status' for the port.",
			"relay, round trip %.1f ms: %s", s.Carrier.RTT, s.Carrier.Reason)
	}
	return ok("carrier", "%s, round trip %.1f ms", s.Carrier.Active, s.Carrier.RTT)
}

// probeService exists in every cluster.
const probeService = "kubernetes.default.svc"

// checkNames resolves a name that every cluster has as any program of this machine would, and connects to it.
func checkNames(ctx context.Context, s session.Status) []Check {
	name := probeService + "." + cmp.Or(s.DNS.ClusterDomain, "cluster.local")
	started := time.Now()
	addrs, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return []Check{
			failed("names", problem.Wrap(err, problem.DNS, "Look at how this machine resolves names ("+s.DNS.Mode+"), and at programs that change that, such as a VPN.", "%s does not resolve", name)),
			skip("service", "its name does not resolve"),
		}
	}
	checks := []Check{ok("names", "%s is %s (%s, %d ms)", name, strings.Join(addrs, ", "), s.DNS.Mode, time.Since(started).Milliseconds())}
	started = time.Now()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(name, "443"))
	if err != nil {
		return append(checks, failed("service", problem.Wrap(err, problem.NoCarrier, "See 'fairlead status' for the routes, and whether a NetworkPolicy keeps the gateway from the service.", "no connection to %s", name)))
	}
	_ = conn.Close()
	return append(checks, ok("service", "connected to %s in %d ms", name, time.Since(started).Milliseconds()))
}
