// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/clusterdns"
	"github.com/fairlead-dev/fairlead/agent/controller"
	"github.com/fairlead-dev/fairlead/agent/controller/intercepts"
	"github.com/fairlead-dev/fairlead/agent/flows"
	"github.com/fairlead-dev/fairlead/agent/tunnel"
	"github.com/fairlead-dev/fairlead/agent/webhook"
)

const (
	resolvConf = "/etc/resolv.conf"

	// The share of the container's memory limit that Go's heap is kept to: the rest is for sockets, stacks and what
	// the collector has not freed yet. More than maxMemory is never needed.
	memoryShare = 0.8
	maxMemory   = 2 << 30 // bytes
)

// Run runs the gateway until ctx ends. It returns nil after an orderly end.
func Run(ctx context.Context, config Config, log *slog.Logger) error {
	if config.MemoryLimit > 0 {
		debug.SetMemoryLimit(int64(memoryShare * float64(min(config.MemoryLimit, maxMemory))))
	}
	library := logr.FromSlogHandler(warnings{log.Handler()})
	ctrl.SetLogger(library)
	klog.SetLogger(library)
	g, err := newGateway(config, log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	g.fail = cancel
	managed := make(chan error, 1)
	go func() {
		err := g.manager.Start(ctx)
		cancel(err)
		managed <- err
	}()
	if err := g.standBy(ctx); err != nil {
		cancel(err)
		return errors.Join(err, <-managed)
	}
	err = lead(ctx, g.rest, config.Pod, log, func() {
		if err := g.serve(ctx); err != nil && ctx.Err() == nil {
			cancel(fmt.Errorf("begin to serve: %w", err))
		}
	})
	if cause := context.Cause(ctx); err == nil && ctx.Err() != nil && cause != context.Canceled {
		err = cause
	}
	cancel(err)
	g.stop()
	return errors.Join(err, <-managed)
}

// gateway is the process. serve and stop are called at most once each, by lead and after it.
type gateway struct {
	config  Config
	log     *slog.Logger
	rest    *rest.Config
	manager ctrl.Manager
	dns     *clusterdns.Server
	peers   *peers

	hasServiceCIDRs bool
	warm            atomic.Bool                   // the caches are full
	leading         atomic.Bool                   // serve was called
	tunnel          atomic.Pointer[tunnel.Tunnel] // while the data plane works
	flows           atomic.Pointer[flows.Server]  // while sidecars are served
	webhook         atomic.Pointer[webhook.Server]
	parts           sync.WaitGroup          // what serve started besides the tunnel
	fail            context.CancelCauseFunc // ends the process
}

func newGateway(config Config, log *slog.Logger) (*gateway, error) {
	restConfig, err := apiServer(config.Version)
	if err != nil {
		return nil, err
	}
	servers, domain, err := clusterdns.ReadResolvConf(resolvConf)
	if err != nil {
		return nil, err
	}
	if config.Domain == "" {
		config.Domain = domain
	}
	g := &gateway{config: config, log: log, rest: restConfig}
	g.dns = clusterdns.NewServer(config.Domain, clusterdns.NewUpstream(servers))
	g.peers = newPeers(g.dns)

	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		v1alpha1.AddToScheme, corev1.AddToScheme, coordinationv1.AddToScheme, networkingv1.AddToScheme,
		authenticationv1.AddToScheme, admissionregistrationv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("set up API types: %w", err)
		}
	}
	g.manager, err = ctrl.NewManager(restConfig, ctrl.Options{
		Scheme:                 scheme,
		MapperProvider:         func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return mapper(), nil },
		Cache:                  cache.Options{ByObject: controller.CacheByObject(config.Pod.Namespace), NewInformer: controller.NewPatientInformer},
		Metrics:                server.Options{BindAddress: metricsAddress},
		HealthProbeBindAddress: healthAddress,
		Logger:                 logr.FromSlogHandler(warnings{log.Handler()}),
	})
	if err != nil {
		return nil, fmt.Errorf("set up: %w", err)
	}
	if err := errors.Join(
		g.manager.AddHealthzCheck("process", func(*http.Request) error { return nil }),
		g.manager.AddReadyzCheck("gateway", g.ready),
		metrics.Registry.Register(&collector{gateway: g}),
	); err != nil {
		return nil, fmt.Errorf("set up: %w", err)
	}
	return g, nil
}

// mapper knows the kinds that the gateway uses, which spares asking the API server for all that it has.
func mapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	// The cache looks lists up, too.
	for _, kind := range []string{"Pod", "Service", "ServiceList", "Secret"} {
		mapper.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	for _, kind := range []string{"Node", "Namespace"} {
		mapper.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeRoot)
	}
	mapper.Add(networkingv1.SchemeGroupVersion.WithKind("ServiceCIDR"), meta.RESTScopeRoot)
	mapper.Add(authenticationv1.SchemeGroupVersion.WithKind("TokenReview"), meta.RESTScopeRoot)
	mapper.Add(admissionregistrationv1.SchemeGroupVersion.WithKind("MutatingWebhookConfiguration"), meta.RESTScopeRoot)
	mapper.Add(coordinationv1.SchemeGroupVersion.WithKind("Lease"), meta.RESTScopeNamespace)
	for _, kind := range []string{"Connection", "ConnectionList", "Intercept", "InterceptList"} {
		mapper.Add(schema.GroupVersionKind(v1alpha1.GroupVersion.WithKind(kind)), meta.RESTScopeNamespace)
	}
	return mapper
}

// standBy gets everything at hand that serving needs.
func (g *gateway) standBy(ctx context.Context) (err error) {
	if g.hasServiceCIDRs, err = controller.Warm(ctx, g.manager); err != nil {
		return err
	}
	if g.config.Intercepts.Enabled {
		if err := intercepts.Warm(ctx, g.manager); err != nil {
			return err
		}
	}
	if !g.manager.GetCache().WaitForCacheSync(ctx) {
		return errors.New("read the cluster: the caches did not fill")
	}
	g.warm.Store(true)
	return nil
}

// serve starts the data plane and the controller. The UDP Service turns to this pod last.
func (g *gateway) serve(ctx context.Context) error {
	g.leading.Store(true)
	key, uid, err := loadKey(ctx, g.manager.GetAPIReader(), g.manager.GetClient(), g.config.Pod.Namespace)
	if err != nil {
		return err
	}
	if !g.config.TunnelIPv6.IsValid() {
		g.config.TunnelIPv6 = controller.UniqueLocalPrefix(string(uid))
	}
	pool, err := controller.NewPool(g.config.TunnelIPv4, g.config.TunnelIPv6)
	if err != nil {
		return err
	}
	plane, err := tunnel.New(tunnel.Config{
		PrivateKey: key, UDPPort: int(g.config.Cluster.UDPPort), DNS: g.peers, Refuse: g.refuse, Log: g.log,
	})
	if err != nil {
		return err
	}
	g.peers.tunnel = plane
	g.tunnel.Store(plane)
	listener, err := net.Listen("tcp", relayAddress)
	if err != nil {
		return fmt.Errorf("listen for relay streams: %w", err)
	}
	g.start(ctx, "serve relay streams", func() error { return plane.ServeRelay(ctx, listener) })

	public := plane.PublicKey()
	wait, err := controller.Run(ctx, g.manager, g.hasServiceCIDRs, controller.Options{
		Cluster: g.config.Cluster, Pool: pool, Peers: g.peers, ForgetAfter: g.config.ForgetAfter, Log: g.log,
		Identity: controller.Identity{
			PublicKey: base64.StdEncoding.EncodeToString(public[:]), Version: g.config.Version, ClusterDomain: g.config.Domain,
			Relay: v1alpha1.RelayEndpoint{Namespace: g.config.Pod.Namespace, Pod: g.config.Pod.Name, Port: relayPort},
		},
	})
	if err != nil {
		return err
	}
	g.start(ctx, "answer Connections", wait)
	if g.config.Intercepts.Enabled {
		if err := g.serveIntercepts(ctx, key); err != nil {
			return err
		}
	}
	g.start(ctx, "keep memory small", func() error { return g.keepMemorySmall(ctx) })
	if err := markActive(ctx, g.manager.GetAPIReader(), g.manager.GetClient(), g.config.Pod); err != nil {
		return err
	}
	g.log.Info("serving", "version", g.config.Version, "udp", g.config.Cluster.UDPPort, "domain", g.config.Domain,
		"ipv4", pool.IPv4, "ipv6", pool.IPv6)
	return nil
}

// start runs a part of the gateway that goes on until ctx ends. If it ends before, so does the process: a new one is
// in a known state.
func (g *gateway) start(ctx context.Context, what string, run func() error) {
	g.parts.Go(func() {
		if err := run(); ctx.Err() == nil {
			g.fail(fmt.Errorf("%s: ended early: %w", what, err))
		}
	})
}

// stop ends what serve began, after its context has ended. Open connections are told, rather than left to find out.
func (g *gateway) stop() {
	g.parts.Wait()
	if plane := g.tunnel.Swap(nil); plane != nil {
		plane.Close()
	}
}

// refuse keeps laptops from the gateway's own pod: its metrics and health are not theirs.
func (g *gateway) refuse(address netip.Addr) error {
	if slices.Contains(g.config.Cluster.PodAddresses, address.Unmap()) {
		return errors.New("the gateway's own address")
	}
	return nil
}

// ready says whether this pod serves, or could at once.
func (g *gateway) ready(*http.Request) error {
	if !g.warm.Load() {
		return errors.New("reading the cluster")
	}
	if !g.leading.Load() {
		return nil
	}
	plane := g.tunnel.Load()
	if plane == nil {
		return errors.New("the data plane is not up")
	}
	_, err := plane.UDPPort()
	return err
}

// warnings passes on what libraries have to say only if something is wrong.
type warnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
