// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ConnectionPhase is where a Connection stands, as the gateway sees it.
// +kubebuilder:validation:Enum=Pending;Ready;Idle;Refused
type ConnectionPhase string

const (
	// ConnectionPending: the gateway has not taken the Connection up yet.
	ConnectionPending ConnectionPhase = "Pending"
	// ConnectionReady: the gateway accepts the laptop's WireGuard key; the status says how to reach it.
	ConnectionReady ConnectionPhase = "Ready"
	// ConnectionIdle: the laptop has been silent for minutes, asleep or gone. Its addresses are kept.
	ConnectionIdle ConnectionPhase = "Idle"
	// ConnectionRefused: the gateway can't serve the Connection; the message says why.
	ConnectionRefused ConnectionPhase = "Refused"
)

// ConnectionSpec is what a laptop asks for.
type ConnectionSpec struct {
	// User is the Kubernetes user name of the owner. Admission holds it equal to who creates the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="user can't be changed"
	User string `json:"user"`

	// PublicKey is the laptop's WireGuard public key in base64. It is new for each session.
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$`
	PublicKey string `json:"publicKey"`

	// Namespace is where the laptop is as if it were a pod: unqualified service names resolve there.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`

	// Host is the laptop's host name, for people to read.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Host string `json:"host,omitempty"`

	// ClientVersion is the version of Fairlead on the laptop.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ClientVersion string `json:"clientVersion,omitempty"`

	// UnavailableRanges are prefixes that the laptop already uses; the gateway gives it no tunnel address in them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=43
	UnavailableRanges []string `json:"unavailableRanges,omitempty"`

	// Mappings make cluster ranges that clash with a network of the laptop reachable under other addresses.
	// +optional
	// +listType=map
	// +listMapKey=range
	// +kubebuilder:validation:MaxItems=16
	Mappings []RangeMapping `json:"mappings,omitempty"`
}

// RangeMapping shows one cluster range to the laptop under other addresses, one to one.
// +kubebuilder:validation:XValidation:rule="isCIDR(self.range) && isCIDR(self.mapped)",message="range and mapped must be prefixes such as 10.96.0.0/12"
// +kubebuilder:validation:XValidation:rule="!isCIDR(self.range) || !isCIDR(self.mapped) || (cidr(self.range).prefixLength() == cidr(self.mapped).prefixLength() && cidr(self.range).ip().family() == cidr(self.mapped).ip().family())",message="range and mapped must be of the same family and size"
type RangeMapping struct {
	// Range is the prefix as the cluster knows it.
	// +kubebuilder:validation:MaxLength=43
	Range string `json:"range"`
	// Mapped is the prefix that the laptop uses instead.
	// +kubebuilder:validation:MaxLength=43
	Mapped string `json:"mapped"`
}

// ConnectionStatus is what the gateway answers.
type ConnectionStatus struct {
	// +optional
	Phase ConnectionPhase `json:"phase,omitempty"`
	// Message says why, in words, when the phase alone does not.
	// +optional
	Message string `json:"message,omitempty"`
	// ObservedGeneration is the generation of the spec that this status answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Addresses are the laptop's addresses inside the tunnel: one IPv4, one IPv6.
	// +optional
	// +listType=set
	Addresses []string `json:"addresses,omitempty"`
	// GatewayAddresses are the gateway's addresses inside the tunnel as this laptop sees them: one IPv4, one IPv6.
	// Cluster DNS answers there on port 53, UDP and TCP.
	// +optional
	// +listType=set
	GatewayAddresses []string `json:"gatewayAddresses,omitempty"`

	// GatewayPublicKey is the gateway's WireGuard public key in base64.
	// +optional
	GatewayPublicKey string `json:"gatewayPublicKey,omitempty"`
	// GatewayVersion is the version of Fairlead in the gateway.
	// +optional
	GatewayVersion string `json:"gatewayVersion,omitempty"`
	// Endpoints are the ways to the gateway.
	// +optional
	Endpoints Endpoints `json:"endpoints,omitempty"`

	// ClusterDomain is the cluster's DNS domain without a final dot, such as cluster.local.
	// +optional
	ClusterDomain string `json:"clusterDomain,omitempty"`
	// Namespaces are the cluster's namespaces, whose names work as the last label of a service name. At most 1000.
	// +optional
	// +listType=set
	Namespaces []string `json:"namespaces,omitempty"`
	// ClusterRanges are the prefixes that services and pods have.
	// +optional
	// +listType=map
	// +listMapKey=range
	ClusterRanges []ClusterRange `json:"clusterRanges,omitempty"`

	// LastHandshake is when the laptop last proved to be there, to within half a minute.
	// +optional
	LastHandshake *metav1.Time `json:"lastHandshake,omitempty"`
	// Carrier is the way by which the laptop was last heard: udp or relay.
	// +optional
	Carrier string `json:"carrier,omitempty"`
}

// Endpoints are the ways to the gateway.
type Endpoints struct {
	// UDP are the addresses, as ip:port, where WireGuard datagrams may reach the gateway, best first. At most 8.
	// +optional
	// +listType=atomic
	UDP []string `json:"udp,omitempty"`
	// Relay is where a port-forward carries datagrams.
	// +optional
	Relay *RelayEndpoint `json:"relay,omitempty"`
}

// RelayEndpoint is a pod and a port in it that takes relay streams. It listens on the pod's loopback only.
type RelayEndpoint struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Port      int32  `json:"port"`
}

// RangeKind says what a cluster range holds.
// +kubebuilder:validation:Enum=service;pod
type RangeKind string

const (
	ServiceRange RangeKind = "service"
	PodRange     RangeKind = "pod"
)

// ClusterRange is one prefix of cluster addresses and how it is known.
type ClusterRange struct {
	// Range is a prefix such as 10.96.0.0/12.
	Range string    `json:"range"`
	Kind  RangeKind `json:"kind"`
	// Source says where the gateway has it from: configured, servicecidr, node or observed.
	// +optional
	Source string `json:"source,omitempty"`
}

// Connection is a laptop that has joined the cluster.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=flconn
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.spec.user`
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.spec.host`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Carrier",type=string,JSONPath=`.status.carrier`
// +kubebuilder:printcolumn:name="Last handshake",type=date,JSONPath=`.status.lastHandshake`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Connection struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ConnectionSpec `json:"spec"`
	// +optional
	Status ConnectionStatus `json:"status,omitempty"`
}

// ConnectionList is a list of Connections.
// +kubebuilder:object:root=true
type ConnectionList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Connection `json:"items"`
}
