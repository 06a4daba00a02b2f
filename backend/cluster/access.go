// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	authentication "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Options say which cluster, and as whom. The zero value is what kubectl without flags uses.
type Options struct {
	Kubeconfigs      []string // files in order of precedence; empty is KUBECONFIG of Environment, else ~/.kube/config
	Context          string   // empty is the current context
	Namespace        string   // empty is the context's, else default
	As               string   // impersonated user
	AsGroups         []string // impersonated groups
	Environment      []string // NAME=value, for exec plugins and proxies; empty is this process's
	WorkingDirectory string   // makes relative paths absolute; empty is this process's
}

// Access is a user's access to one cluster. It is safe for concurrent use. Close it to let go of its connections.
//
// All API calls share one HTTP/2 connection. It counts as dead when the kernel has had no acknowledgement for
// deadAfter, which is sooner than HTTP/2's own pings notice.
type Access struct {
	context   string
	namespace string
	config    *rest.Config
	exec      *clientcmdapi.ExecConfig
	dialer    *dialer
	open      open // connections of API calls
	client    *http.Client
	clients   *kubernetes.Clientset
	objects   dynamic.Interface
}

// Open reads the kubeconfig and returns access to the cluster that it names. It does no network I/O and runs no
// credential plugin. Errors are *problem.Problem.
func Open(o Options) (*Access, error) {
	env := environmentOf(o)
	loaded, err := loadKubeconfig(o, env)
	if err != nil {
		return nil, err
	}
	config, err := loaded.clientConfig(o)
	if err != nil {
		return nil, err
	}
	a := &Access{
		context:   loaded.context,
		namespace: loaded.namespace(o),
		config:    config,
		dialer:    &dialer{seen: map[netip.Addr]struct{}{}},
	}
	if config.ExecProvider != nil {
		a.exec = config.ExecProvider.DeepCopy()
	}
	config.QPS, config.Burst = -1, -1 // the API server's own fairness is what limits us
	config.Dial = a.open.dial(a.dialer.DialContext)
	if config.Proxy == nil {
		config.Proxy = env.proxy()
	}
	if a.client, err = rest.HTTPClientFor(config); err != nil {
		return nil, problem.Wrap(err, problem.Kubeconfig,
			"Look at the user and cluster of this context in the kubeconfig: a file that it names may be missing.",
			"use context %q of the kubeconfig", a.context)
	}
	if a.clients, err = kubernetes.NewForConfigAndClient(config, a.client); err != nil {
		return nil, problem.Wrap(err, problem.Kubeconfig, "", "use context %q of the kubeconfig", a.context)
	}
	if a.objects, err = dynamic.NewForConfigAndClient(config, a.client); err != nil {
		return nil, problem.Wrap(err, problem.Kubeconfig, "", "use context %q of the kubeconfig", a.context)
	}
	config.Dial = a.dialer.DialContext // for who makes connections of another kind
	return a, nil
}

// RESTConfig returns a copy of the client configuration, without rate limits.
func (a *Access) RESTConfig() *rest.Config { return rest.CopyConfig(a.config) }

// Context returns the name of the kubeconfig context.
func (a *Access) Context() string { return a.context }

// Server returns the URL of the API server.
func (a *Access) Server() string { return a.config.Host }

// Namespace returns the namespace that unqualified names are in.
func (a *Access) Namespace() string { return a.namespace }

// Credentials is a fingerprint of whose credentials are used: it differs where the user differs, and says nothing else.
func (a *Access) Credentials() string {
	h := sha256.New()
	c := a.config
	for _, part := range []string{
		c.Username, c.Password, c.BearerToken, c.BearerTokenFile, string(c.CertData), c.CertFile,
		c.Impersonate.UserName, strings.Join(c.Impersonate.Groups, "\x00"),
	} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	if a.exec != nil {
		fmt.Fprintf(h, "%q %q", a.exec.Command, a.exec.Args)
	}
	if c.AuthProvider != nil {
		fmt.Fprintf(h, "%q %q", c.AuthProvider.Name, c.AuthProvider.Config)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Identity asks the API server who the user is. Errors are *problem.Problem.
func (a *Access) Identity(ctx context.Context) (string, error) {
	review, err := a.clients.AuthenticationV1().SelfSubjectReviews().Create(ctx,
		&authentication.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", a.Explain(ctx, err, Action{Verb: "create", Group: "authentication.k8s.io", Resource: "selfsubjectreviews"})
	}
	return review.Status.UserInfo.Username, nil
}

// Addresses returns the IP addresses that connections to the API server, or to the proxy on the way to it, went to
// since Open, and those that Resolve found. They must stay reachable beside the tunnel. It does no I/O.
func (a *Access) Addresses() []netip.Addr { return a.dialer.addresses() }

// Resolve finds out what the name of the API server, or of the proxy on the way to it, stands for.
func (a *Access) Resolve(ctx context.Context) { a.dialer.resolve(ctx, a.hop()) }

// hop returns the host that connections go to: the proxy's, or the API server's.
func (a *Access) hop() string {
	server, err := url.Parse(a.config.Host)
	if err != nil {
		return ""
	}
	if a.config.Proxy != nil {
		if proxy, err := a.config.Proxy(&http.Request{URL: server}); err == nil && proxy != nil {
			return proxy.Hostname()
		}
	}
	return server.Hostname()
}

// Reset closes the connections to the API server that are idle, so that the next call makes a new one. Whoever finds
// that nothing answers calls it after ending its watches.
func (a *Access) Reset() { a.client.CloseIdleConnections() }

// Revive closes the connections to the API server that have got no answer to what was sent, so that calls that wait on
// them fail at once and the next makes a new one: the kernel's own repetitions have backed off by seconds. Whoever finds that
// the network is back calls it.
func (a *Access) Revive() { a.open.closeStuck(time.Now()) }

// Close lets go of idle connections.
func (a *Access) Close() { a.client.CloseIdleConnections() }

const (
	// dialTimeout bounds one attempt to connect. It is short because attempts are repeated, and each begins with a new
	// SYN where the kernel's own repetitions would back off.
	dialTimeout = 3 * time.Second
	// deadAfter is how long sent data may stay unacknowledged before the connection counts as dead.
	deadAfter = 10 * time.Second
)

// keepAlive notices a dead idle connection within deadAfter.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 4 * time.Second, Interval: 2 * time.Second, Count: 3}

// dialer makes the TCP connections of one Access and remembers where they went.
type dialer struct {
	mu   sync.Mutex
	seen map[netip.Addr]struct{}
}

// DialContext connects as net.Dialer does.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	nd := net.Dialer{Timeout: dialTimeout, KeepAliveConfig: keepAlive, ControlContext: controlSocket}
	conn, err := nd.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if remote, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		d.remember(remote.Addr())
	}
	return conn, nil
}

// resolve remembers what host stands for. A host that can't be resolved is left to the connections that are made.
func (d *dialer) resolve(ctx context.Context, host string) {
	if addr, err := netip.ParseAddr(host); err == nil {
		d.remember(addr)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return
	}
	for _, addr := range addrs {
		d.remember(addr)
	}
}

func (d *dialer) remember(addr netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen[addr.Unmap().WithZone("")] = struct{}{}
}

// addresses returns what is remembered, in order. Loopback addresses are left out: they never go into a tunnel.
func (d *dialer) addresses() []netip.Addr {
	d.mu.Lock()
	defer d.mu.Unlock()
	var addrs []netip.Addr
	for addr := range d.seen {
		if !addr.IsLoopback() {
			addrs = append(addrs, addr)
		}
	}
	sortAddrs(addrs)
	return addrs
}
