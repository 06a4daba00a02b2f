// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"net/netip"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

const (
	// idleAfter is how long a laptop may be silent before it is called idle: longer than WireGuard lets a session of
	// a live peer go without a new handshake (120 s, WireGuard paper section 6.1).
	idleAfter = 3 * time.Minute

	// maxNamespaces is how many namespaces a status names.
	maxNamespaces = 1000

	// settleAfterStart is how long after its own start a gateway forgets nobody, so that laptops which waited for it
	// can be heard first.
	settleAfterStart = 5 * time.Minute
)

// Identity is what every Connection is told about the gateway itself.
type Identity struct {
	PublicKey     string // base64
	Version       string
	ClusterDomain string // without a final dot
	Relay         v1alpha1.RelayEndpoint
}

// Facts is what every Connection is told about the cluster.
type Facts struct {
	Ranges       []v1alpha1.ClusterRange
	Namespaces   []string // sorted
	UDPEndpoints []string
}

func (f Facts) equal(other Facts) bool {
	return slices.Equal(f.Ranges, other.Ranges) && slices.Equal(f.Namespaces, other.Namespaces) &&
		slices.Equal(f.UDPEndpoints, other.UDPEndpoints)
}

// Activity is when and how a laptop was last heard. The zero value means never.
type Activity struct {
	LastHandshake time.Time // of WireGuard
	LastHeard     time.Time // anything authenticated; at least LastHandshake
	Carrier       string    // udp or relay
}

// served returns the status of a Connection that the gateway accepts.
func served(before v1alpha1.ConnectionStatus, generation int64, peer Peer, identity Identity, facts Facts) v1alpha1.ConnectionStatus {
	relay := identity.Relay
	return v1alpha1.ConnectionStatus{
		Phase:              v1alpha1.ConnectionReady,
		ObservedGeneration: generation,
		Addresses:          addressTexts(peer.Laptop),
		GatewayAddresses:   addressTexts(peer.Gateway),
		GatewayPublicKey:   identity.PublicKey,
		GatewayVersion:     identity.Version,
		Endpoints:          v1alpha1.Endpoints{UDP: facts.UDPEndpoints, Relay: &relay},
		ClusterDomain:      identity.ClusterDomain,
		Namespaces:         namespacesFor(peer.Namespace, facts.Namespaces),
		ClusterRanges:      facts.Ranges,
		LastHandshake:      before.LastHandshake,
		Carrier:            before.Carrier,
	}
}

// refused returns the status of a Connection that the gateway can't serve.
func refused(before v1alpha1.ConnectionStatus, generation int64, identity Identity, why error) v1alpha1.ConnectionStatus {
	return v1alpha1.ConnectionStatus{
		Phase:              v1alpha1.ConnectionRefused,
		Message:            why.Error(),
		ObservedGeneration: generation,
		GatewayVersion:     identity.Version,
		LastHandshake:      before.LastHandshake,
	}
}

// observe adds to a served status what the data plane has heard. since is when this session began: a laptop is given
// time to say its first word.
func observe(status v1alpha1.ConnectionStatus, activity Activity, since, now time.Time) v1alpha1.ConnectionStatus {
	if !activity.LastHandshake.IsZero() {
		handshake := metav1.NewTime(activity.LastHandshake.Truncate(time.Second))
		status.LastHandshake = &handshake
	}
	if activity.Carrier != "" {
		status.Carrier = activity.Carrier
	}
	if now.Sub(lastSign(status, activity, since)) > idleAfter {
		status.Phase = v1alpha1.ConnectionIdle
		status.Message = "the laptop has not been heard for a while"
	}
	return status
}

// lastSign is when a laptop last showed any life.
func lastSign(status v1alpha1.ConnectionStatus, activity Activity, since time.Time) time.Time {
	latest := since
	for _, sign := range []time.Time{activity.LastHandshake, activity.LastHeard} {
		if sign.After(latest) {
			latest = sign
		}
	}
	if status.LastHandshake != nil && status.LastHandshake.After(latest) {
		latest = status.LastHandshake.Time
	}
	return latest
}

// forgettable reports whether a laptop has been silent for so long that its Connection is deleted.
func forgettable(sign, started, now time.Time, forgetAfter time.Duration) bool {
	return now.Sub(sign) > forgetAfter && now.Sub(started) > settleAfterStart
}

// namespacesFor returns all namespaces, or as many as a status names, the Connection's own among them.
func namespacesFor(own string, all []string) []string {
	if len(all) <= maxNamespaces {
		return all
	}
	kept := slices.Clone(all[:maxNamespaces])
	if !slices.Contains(kept, own) && slices.Contains(all, own) {
		kept[maxNamespaces-1] = own
	}
	slices.Sort(kept)
	return kept
}

func addressTexts(addresses []netip.Addr) []string {
	texts := make([]string, 0, len(addresses))
	for _, address := range addresses {
		texts = append(texts, address.String())
	}
	return texts
}
