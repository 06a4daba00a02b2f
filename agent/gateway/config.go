// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/controller"
)

// Names of objects that the chart makes.
const (
	serviceName    = "fairlead-gateway"
	sidecarService = "fairlead-sidecars"
	leaseName      = "fairlead-gateway"
	secretName     = "fairlead-gateway-key"
)

// Ports of the gateway's pod; those of the chart.
const (
	relayAddress   = "127.0.0.1:8642" // loopback: only a port-forward reaches it
	relayPort      = 8642
	sidecarAddress = ":8443"
	sidecarPort    = 8443 // of the Service as well
	webhookAddress = ":8444"
	metricsAddress = ":9090"
	healthAddress  = ":8081"
)

// Config is what the gateway is started with.
type Config struct {
	Version     string
	LogLevel    slog.Level
	Pod         Pod
	Cluster     controller.Cluster
	TunnelIPv4  netip.Prefix
	TunnelIPv6  netip.Prefix // invalid: derived from the installation
	Domain      string       // empty: as resolv.conf says
	ForgetAfter time.Duration
	MemoryLimit int64 // bytes; 0: none
	Intercepts  Intercepts
}

// Intercepts is what the chart says about intercepts.
type Intercepts struct {
	Enabled bool
	// PersonalBesideAll lets one person's requests be intercepted where another has all.
	PersonalBesideAll bool
	// MaxDuration is how long an intercept lasts at most, and by default.
	MaxDuration time.Duration
	// RemoveAfter is how long a laptop may be away before its intercepts are removed.
	RemoveAfter time.Duration
	// Redirect is the way of intercepts that leave it to the gateway.
	Redirect v1alpha1.RedirectMode
	// Webhook: pods that are made while they are intercepted are born with their sidecar.
	Webhook bool
	Sidecar Sidecar
}

// Sidecar is what sidecars are made of.
type Sidecar struct {
	Image      string
	PullPolicy corev1.PullPolicy
	// Resources are those of sidecars in pods that must have some.
	Resources corev1.ResourceList
}

// Pod is the pod that the process runs in.
type Pod struct {
	Name, Namespace, UID string
}

// ParseConfig reads flags and environment variables, as the chart sets them. Usage goes to usage.
func ParseConfig(version string, args []string, environment func(string) string, usage io.Writer) (Config, error) {
	config := Config{Version: version}
	config.Cluster.Service = serviceName
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.TextVar(&config.LogLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	udpType := flags.String("udp-type", string(controller.UDPNodePort), "how datagrams reach the gateway: NodePort, LoadBalancer, HostPort or None")
	udpPort := flags.Uint("udp-port", 51820, "UDP port to listen on")
	flags.Func("udp-advertise", "ip:port to publish instead of what is found out; may be repeated", appendTo(&config.Cluster.Advertised, netip.ParseAddrPort))
	flags.Func("tunnel-ipv4", "IPv4 range of the tunnel's addresses", set(&config.TunnelIPv4, netip.ParsePrefix))
	flags.Func("tunnel-ipv6", "unique local IPv6 /64 of the tunnel's addresses", set(&config.TunnelIPv6, netip.ParsePrefix))
	flags.StringVar(&config.Domain, "cluster-domain", "", "DNS domain of the cluster")
	flags.Func("service-range", "prefix of Services; may be repeated", appendTo(&config.Cluster.ServiceRanges, netip.ParsePrefix))
	flags.Func("pod-range", "prefix of pods; may be repeated", appendTo(&config.Cluster.PodRanges, netip.ParsePrefix))
	flags.DurationVar(&config.ForgetAfter, "forget-after", time.Hour, "how long a laptop may be silent before it is forgotten")
	intercepts := &config.Intercepts
	flags.BoolVar(&intercepts.Enabled, "intercepts", false, "let developers intercept workloads")
	flags.BoolVar(&intercepts.PersonalBesideAll, "personal-beside-all", false, "let one person's requests be intercepted where another has all")
	flags.DurationVar(&intercepts.MaxDuration, "intercept-max-duration", 24*time.Hour, "how long an intercept lasts at most, and by default")
	flags.DurationVar(&intercepts.RemoveAfter, "intercept-remove-after", 15*time.Minute, "how long a laptop may be away before its intercepts are removed")
	redirect := flags.String("redirect", string(v1alpha1.RedirectAuto), "how traffic reaches sidecars where an intercept leaves it open: Auto, Instant or Unprivileged")
	flags.BoolVar(&intercepts.Webhook, "webhook", false, "have pods born with their sidecar, which their readiness then depends on")
	flags.StringVar(&intercepts.Sidecar.Image, "sidecar-image", "", "image of sidecars")
	pullPolicy := flags.String("sidecar-pull-policy", string(corev1.PullIfNotPresent), "Always, IfNotPresent or Never")
	flags.Func("sidecar-resource", "name=quantity that sidecars ask for and are limited to in pods of the QoS class Guaranteed; may be repeated", appendResource(&intercepts.Sidecar.Resources))
	if err := flags.Parse(args); err != nil {
		return Config{}, err
	}
	if flags.NArg() > 0 {
		return Config{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	config.Cluster.UDPType, config.Cluster.UDPPort = controller.UDPType(*udpType), uint16(*udpPort)
	switch {
	case *udpPort == 0 || *udpPort > 65535:
		return Config{}, fmt.Errorf("--udp-port %d is not between 1 and 65535", *udpPort)
	case config.ForgetAfter < 5*time.Minute:
		return Config{}, fmt.Errorf("--forget-after %s is less than 5m", config.ForgetAfter)
	}
	switch config.Cluster.UDPType {
	case controller.UDPNodePort, controller.UDPLoadBalancer, controller.UDPHostPort, controller.UDPNone:
	default:
		return Config{}, fmt.Errorf("--udp-type %q is not NodePort, LoadBalancer, HostPort or None", *udpType)
	}
	intercepts.Redirect, intercepts.Sidecar.PullPolicy = v1alpha1.RedirectMode(*redirect), corev1.PullPolicy(*pullPolicy)
	if err := intercepts.validate(); err != nil {
		return Config{}, err
	}
	if !config.TunnelIPv4.IsValid() {
		config.TunnelIPv4 = netip.MustParsePrefix("198.19.0.0/16") // of the benchmarking range, RFC 2544, which no network uses
	}
	return config, config.readEnvironment(environment)
}

func (i Intercepts) validate() error {
	if i.Enabled && i.Sidecar.Image == "" {
		return errors.New("--sidecar-image is needed for intercepts")
	}
	if i.MaxDuration < time.Minute {
		return fmt.Errorf("--intercept-max-duration %s is less than 1m", i.MaxDuration)
	}
	if i.RemoveAfter < 5*time.Second {
		return fmt.Errorf("--intercept-remove-after %s is less than 5s", i.RemoveAfter)
	}
	switch i.Redirect {
	case v1alpha1.RedirectAuto, v1alpha1.RedirectInstant, v1alpha1.RedirectUnprivileged:
	default:
		return fmt.Errorf("--redirect %q is not Auto, Instant or Unprivileged", i.Redirect)
	}
	switch i.Sidecar.PullPolicy {
	case corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever:
	default:
		return fmt.Errorf("--sidecar-pull-policy %q is not Always, IfNotPresent or Never", i.Sidecar.PullPolicy)
	}
	return nil
}

// readEnvironment takes what the pod's downward API says.
func (c *Config) readEnvironment(environment func(string) string) error {
	c.Pod = Pod{Name: environment("POD_NAME"), Namespace: environment("POD_NAMESPACE"), UID: environment("POD_UID")}
	if c.Pod.Name == "" || c.Pod.Namespace == "" {
		return errors.New("POD_NAME and POD_NAMESPACE are not set: the gateway runs in a pod that the chart makes")
	}
	c.Cluster.Namespace, c.Cluster.NodeName = c.Pod.Namespace, environment("NODE_NAME")
	for text := range strings.SplitSeq(environment("POD_IPS"), ",") {
		if text == "" {
			continue
		}
		address, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("POD_IPS: %w", err)
		}
		c.Cluster.PodAddresses = append(c.Cluster.PodAddresses, address)
	}
	if text := environment("MEMORY_LIMIT"); text != "" {
		limit, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("MEMORY_LIMIT: %w", err)
		}
		c.MemoryLimit = limit
	}
	return nil
}

// appendResource reads name=quantity.
func appendResource(to *corev1.ResourceList) func(string) error {
	return func(text string) error {
		name, amount, found := strings.Cut(text, "=")
		if !found || name == "" {
			return fmt.Errorf("%q is not name=quantity", text)
		}
		quantity, err := resource.ParseQuantity(amount)
		if err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
		if *to == nil {
			*to = make(corev1.ResourceList)
		}
		(*to)[corev1.ResourceName(name)] = quantity
		return nil
	}
}

func set[T any](target *T, parse func(string) (T, error)) func(string) error {
	return func(text string) (err error) {
		*target, err = parse(text)
		return err
	}
}

func appendTo[T any](target *[]T, parse func(string) (T, error)) func(string) error {
	return func(text string) error {
		value, err := parse(text)
		if err == nil {
			*target = append(*target, value)
		}
		return err
	}
}
