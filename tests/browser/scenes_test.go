// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"net/netip"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/activity"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

var _ = extend(func(f *fake) {
	f.scenes["disconnected"] = func(*fake) {}
	f.scenes["connected"] = func(f *fake) { f.snapshot.Session = connected("dev", "shop"); f.snapshot.Activity = happened() }
	f.scenes["traffic"] = func(f *fake) { f.snapshot.Session.Received += 300_000; f.snapshot.Session.Sent += 40_000 }
	f.scenes["connecting"] = func(f *fake) {
		f.snapshot.Session = localapi.Status{State: session.Connecting, Context: "dev", Namespace: "shop", Step: "waiting for the gateway to make a place for this laptop"}
		f.snapshot.Work = []localapi.Work{{ID: "w1", What: "connect", Title: "Connecting to dev", Step: "waiting for the gateway", Began: time.Now(), Context: "dev", Stoppable: true}}
	}
	f.scenes["reconnecting"] = func(f *fake) {
		s := connected("dev", "shop")
		s.State, s.Step = session.Reconnecting, "waiting for the network"
		s.Carrier = session.CarrierStatus{Mode: session.CarrierAuto, Reason: "nothing answers on either way"}
		s.DNS.Healthy, s.DNS.Detail = false, "the gateway does not answer"
		s.Problem = problem.New(problem.NoCarrier, "Check the network of this laptop.", "the gateway has not answered for 4 s")
		f.snapshot.Session = s
		f.snapshot.Problems = []localapi.Trouble{{Problem: *s.Problem, Where: "dev", Since: time.Now().Add(-4 * time.Second), Fix: &localapi.Fix{Action: "doctor", Label: "Run the doctor"}}}
		f.snapshot.Activity = happened()
	}
	f.scenes["trouble"] = func(f *fake) {
		f.snapshot.Session = connected("dev", "shop")
		f.snapshot.Session.Carrier = session.CarrierStatus{Mode: session.CarrierAuto, Active: "relay", Reason: "UDP to 192.0.2.7:51820 does not answer", RTT: 41.6}
		f.snapshot.Problems = troubles()
		f.snapshot.Activity = happened()
	}
	f.scenes["failed"] = func(f *fake) {
		p := problem.New(problem.GatewayMissing, "Run: fairlead gateway install --context staging", "the cluster of context %q has no gateway", "staging")
		f.snapshot.Session = localapi.Status{State: session.Disconnected, Context: "staging", Problem: p}
		f.snapshot.Problems = []localapi.Trouble{{Problem: *p, Where: "staging", Since: time.Now(), Fix: &localapi.Fix{Action: "install-gateway", Label: "Install the gateway", Context: "staging"}}}
	}
	f.scenes["no-kubeconfig"] = func(f *fake) {
		f.refuse["/v1/contexts"] = problem.New(problem.Kubeconfig, "Set KUBECONFIG to a file that kubectl can use, or name one in the settings.", "there is no kubeconfig: /home/ada/.kube/config does not exist")
	}
	f.scenes["no-contexts"] = func(f *fake) { f.contexts = nil }
	f.scenes["many-contexts"] = func(f *fake) { f.contexts = manyContexts() }
	f.scenes["no-helper"] = func(f *fake) {
		f.snapshot.Helper = localapi.Helper{Problem: problem.New(problem.HelperMissing, "Run: sudo fairlead helper install --group fairlead", "the helper service is not installed on this laptop")}
	}
	f.scenes["helper-denied"] = func(f *fake) {
		f.snapshot.Helper = localapi.Helper{Running: true, Version: "0.1.0", Problem: problem.New(problem.HelperDenied, "Run: sudo usermod -aG fairlead ada", "the helper does not serve this user: ada is not in the group fairlead")}
	}
	f.scenes["helper-busy"] = func(f *fake) {
		f.snapshot.Helper = localapi.Helper{Running: true, Version: "0.1.0", Compatible: true, State: "up", User: "bob",
			Problem: problem.New(problem.HelperBusy, "Ask bob to disconnect; one user of a machine can be connected at a time.", "bob is connected on this machine")}
	}
	f.scenes["hold"] = func(f *fake) { f.hold = make(chan struct{}) }
	f.scenes["release"] = func(f *fake) { f.release() }
	f.scenes["gone"] = func(f *fake) { f.absent = "gone" }
	f.scenes["unknown"] = func(f *fake) { f.absent = "unknown" }
	f.scenes["restarted"] = func(f *fake) { f.snapshot.Daemon.Started = time.Now(); f.snapshot.Revision = 0 }
	f.scenes["doctor-bad"] = func(f *fake) { f.snapshot.Session = localapi.Status{State: session.Disconnected, Context: "dev"} }
	f.scenes["doctor-fails"] = func(f *fake) {
		f.refuse["/v1/doctor"] = problem.New(problem.Internal, "Report it, with the daemon's log, which 'fairlead version' names.", "the daemon met a defect in /v1/doctor")
	}
	f.scenes["settings-refused"] = func(f *fake) {
		f.refuse["/v1/settings"] = problem.New(problem.Internal, "Free some space, then try again.", "write /home/ada/.config/fairlead/settings.json: no space left on device")
	}
})

func contexts() []localapi.Context {
	of := func(name, user string) localapi.Context {
		return localapi.Context{Name: name, Cluster: name, Server: "https://" + name + ".k8s.example:6443", User: user, Namespace: "shop"}
	}
	all := []localapi.Context{of("asleep", "ada"), of("dev", "ada"), of("expired", "ada@corp"), of("old", "ada"), of("prod", "ada-readonly"), of("staging", "ada"), of("unready", "ada")}
	all[1].Current = true
	long := of("arn:aws:eks:eu-central-1:123456789012:cluster/payments-integration", "arn:aws:eks:eu-central-1:123456789012:user/ada.lovelace")
	long.Server = "https://0123456789ABCDEF0123456789ABCDEF.gr7.eu-central-1.eks.amazonaws.com"
	return append(all, long)
}

func manyContexts() []localapi.Context {
	var all []localapi.Context
	for _, region := range []string{"eu-central-1", "us-east-1", "ap-south-1", "sa-east-1"} {
		for _, stage := range []string{"dev", "test", "stage", "prod", "load"} {
			for _, team := range []string{"payments", "search", "mail"} {
				name := strings.Join([]string{stage, team, region}, "-")
				all = append(all, localapi.Context{Name: name, Cluster: name, Server: "https://" + name + ".example", User: "ada"})
			}
		}
	}
	return all
}

func connected(name, namespace string) localapi.Status {
	since := time.Now().Add(-83 * time.Minute)
	return localapi.Status{
		State: session.Connected, Context: name, Server: "https://" + name + ".k8s.example:6443", User: "ada@example.com", Namespace: namespace,
		Since:     &since,
		Carrier:   session.CarrierStatus{Mode: session.CarrierAuto, Active: "udp", Reason: "it answers, and is the faster way", RTT: 1.8, Endpoint: "192.0.2.7:51820"},
		Gateway:   session.GatewayStatus{Namespace: "fairlead", Pod: "fairlead-gateway-7d9f5c-x2x8v", Version: "0.1.0"},
		Addresses: []netip.Addr{netip.MustParseAddr("198.19.0.5"), netip.MustParseAddr("fd00:fa1e::5")},
		Routes:    []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10:96::/108")},
		Mappings: []session.Mapping{{
			Range: netip.MustParsePrefix("172.17.0.0/16"), Mapped: netip.MustParsePrefix("198.18.0.0/16"), Because: "docker0 has 172.17.0.0/16",
		}},
		DNS:    session.DNSStatus{Mode: "systemd-resolved", Healthy: true, ClusterDomain: "cluster.local", Domains: []string{"db.example.net"}},
		Device: "fairlead0", MTU: 1400, Received: 5 << 20, Sent: 71 << 10,
		Notes: []string{"the pods' range was observed, not reported by the cluster"},
	}
}

func troubles() []localapi.Trouble {
	since := time.Now().Add(-6 * time.Minute)
	return []localapi.Trouble{
		{
			Problem: *problem.New(problem.RouteConflict, "", "10.244.3.0/24 of the cluster clashes with the network of wlan0: pods in it can't be reached"),
			Where:   "dev", Since: since, Fix: &localapi.Fix{Action: "map-conflicts", Label: "Reach them under other addresses", Context: "dev"},
		},
		{
			Problem: *problem.New(problem.HelperVersion, "", "the helper is of version 0.0.9, and Fairlead of 0.1.0"),
			Since:   since, Fix: &localapi.Fix{Action: "copy", Label: "Copy the command", Command: "sudo fairlead helper install"},
		},
		{
			Problem: *problem.New(problem.GatewayVersion, "", "the gateway is of version 0.0.9, and Fairlead of 0.1.0: live request lists do not work"),
			Where:   "dev", Since: since, Fix: &localapi.Fix{Action: "upgrade-gateway", Label: "Upgrade the gateway", Context: "dev"},
		},
	}
}

func happened() []localapi.Event {
	now := time.Now()
	at := func(ago time.Duration, kind activity.Kind, level activity.Level, text string) localapi.Event {
		return localapi.Event{Time: now.Add(-ago), Kind: kind, Level: level, Text: text}
	}
	all := []localapi.Event{
		at(40*time.Second, activity.Intercept, activity.Good, "Requests with x-fairlead: ada to shop/api go to port 3000 of this laptop."),
		at(3*time.Minute, activity.Carrier, activity.Good, "Traffic goes straight to the gateway by UDP again."),
		at(9*time.Minute, activity.Carrier, activity.Warning, "UDP does not get through; traffic goes through the API server, which is slower."),
		at(83*time.Minute, activity.Connection, activity.Good, "Connected to dev."),
		at(84*time.Minute, activity.Gateway, activity.Info, "The gateway was installed in the namespace fairlead."),
		at(26*time.Hour, activity.Connection, activity.Info, "Disconnected from dev. This laptop is as it was before."),
		at(27*time.Hour, activity.Intercept, activity.Trouble, "The intercept of shop/cart was dropped: bob took it over."),
		at(28*time.Hour, activity.DNS, activity.Warning, "Names of the cluster did not resolve for 12 s."),
		at(28*time.Hour+time.Minute, activity.Connection, activity.Trouble, "The connection to dev was lost."),
		at(75*time.Hour, activity.Helper, activity.Info, "The helper was updated to 0.1.0."),
		at(76*time.Hour, activity.Settings, activity.Info, "10.9.0.0/16 is left out from now on."),
	}
	all[6].Hint, all[6].Where = "Ask bob, or intercept with a key of your own.", "shop/cart"
	all[2].Where, all[8].Where = "dev", "dev"
	for i := range all {
		all[i].ID = uint64(len(all) - i)
	}
	return all
}
