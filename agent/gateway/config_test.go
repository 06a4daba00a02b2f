// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"flag"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/agent/controller"
)

// pod is the environment that the chart gives.
func pod(name string) string {
	return map[string]string{
		"POD_NAME": "gateway-1", "POD_NAMESPACE": "fairlead", "POD_UID": "u", "POD_IPS": "10.244.0.9,fd00:10:244::9",
		"NODE_NAME": "node1", "MEMORY_LIMIT": "536870912",
	}[name]
}

func TestParseConfigDefaults(t *testing.T) {
	c, err := ParseConfig("1.2.3", nil, pod, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if c.Version != "1.2.3" || c.Pod != (Pod{"gateway-1", "fairlead", "u"}) || c.MemoryLimit != 512<<20 || c.ForgetAfter != time.Hour ||
		c.TunnelIPv4.String() != "198.19.0.0/16" || c.TunnelIPv6.IsValid() || c.LogLevel != slog.LevelInfo {
		t.Errorf("%+v", c)
	}
	if i := c.Intercepts; i.Enabled || i.PersonalBesideAll || i.MaxDuration != 24*time.Hour || i.RemoveAfter != 15*time.Minute || i.Redirect != v1alpha1.RedirectAuto || i.Sidecar.PullPolicy != corev1.PullIfNotPresent {
		t.Errorf("%+v", i)
	}
	if k := c.Cluster; k.Namespace != "fairlead" || k.NodeName != "node1" || len(k.PodAddresses) != 2 || k.UDPType != controller.UDPNodePort || k.UDPPort != 51820 || k.Service != "fairlead-gateway" {
		t.Errorf("%+v", k)
	}
}

func TestParseConfigTakesEveryFlag(t *testing.T) {
	c, err := ParseConfig("1.2.3", strings.Fields(`--log-level=debug --udp-type=None --udp-port=41820 --udp-advertise=192.0.2.1:1
		--udp-advertise=[2001:db8::1]:2 --tunnel-ipv4=10.201.0.0/20 --tunnel-ipv6=fd12::/64 --cluster-domain=k8s.test
		--service-range=10.96.0.0/12 --pod-range=10.244.0.0/16 --pod-range=fd00:10:244::/56 --forget-after=30m
		--intercepts --webhook --personal-beside-all --intercept-max-duration=8h --intercept-remove-after=5m --redirect=Unprivileged --sidecar-image=sidecar:1
		--sidecar-pull-policy=Never --sidecar-resource=cpu=250m --sidecar-resource=memory=64Mi`), pod, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	k := c.Cluster
	if c.LogLevel != slog.LevelDebug || k.UDPType != controller.UDPNone || k.UDPPort != 41820 || len(k.Advertised) != 2 || c.TunnelIPv4.Bits() != 20 ||
		!c.TunnelIPv6.IsValid() || c.Domain != "k8s.test" || len(k.ServiceRanges) != 1 || len(k.PodRanges) != 2 || c.ForgetAfter != 30*time.Minute {
		t.Errorf("%+v", c)
	}
	i := c.Intercepts
	if !i.Enabled || !i.Webhook || !i.PersonalBesideAll || i.MaxDuration != 8*time.Hour || i.RemoveAfter != 5*time.Minute || i.Redirect != v1alpha1.RedirectUnprivileged || i.Sidecar.Image != "sidecar:1" ||
		i.Sidecar.PullPolicy != corev1.PullNever || i.Sidecar.Resources.Cpu().String() != "250m" || i.Sidecar.Resources.Memory().String() != "64Mi" {
		t.Errorf("%+v", i)
	}
}

func TestParseConfigRefuses(t *testing.T) {
	for _, args := range []string{
		"--udp-type=ClusterIP", "--udp-port=0", "--udp-port=65536", "--udp-advertise=example.com:1", "--tunnel-ipv4=198.19.0.0",
		"--service-range=x", "--forget-after=1s", "--log-level=loud", "--unknown", "argument",
		"--intercepts", "--intercept-max-duration=1s", "--intercept-remove-after=1s", "--redirect=Magic", "--sidecar-pull-policy=Sometimes", "--sidecar-resource=cpu",
		"--sidecar-resource=cpu=much", "--sidecar-resource==1",
	} {
		if _, err := ParseConfig("1.2.3", []string{args}, pod, io.Discard); err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
	if _, err := ParseConfig("1.2.3", []string{"-h"}, pod, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("parse -h: %v, want that help was asked for", err)
	}
	for variable, value := range map[string]string{"POD_NAME": "", "POD_NAMESPACE": "", "POD_IPS": "x", "MEMORY_LIMIT": "1Gi"} {
		environment := func(name string) string {
			if name == variable {
				return value
			}
			return pod(name)
		}
		if _, err := ParseConfig("1.2.3", nil, environment, io.Discard); err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%s=%q: error %v", variable, value, err)
		}
	}
}
