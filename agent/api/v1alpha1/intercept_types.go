// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// InterceptPhase is where an Intercept stands.
// +kubebuilder:validation:Enum=Pending;Active;Suspended;Refused
type InterceptPhase string

const (
	// InterceptPending: not every ready pod has confirmed the redirect yet.
	InterceptPending InterceptPhase = "Pending"
	// InterceptActive: every ready pod has confirmed, and a probe connection has reached the laptop.
	InterceptActive InterceptPhase = "Active"
	// InterceptSuspended: the laptop is away; everything goes to the app meanwhile.
	InterceptSuspended InterceptPhase = "Suspended"
	// InterceptRefused: it can't be; the message says why and, where it clashes with another, with whose.
	InterceptRefused InterceptPhase = "Refused"
)

// InterceptSpec is what a developer asks for.
type InterceptSpec struct {
	// User is the Kubernetes user name of the owner. Admission holds it equal to who creates the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="user can't be changed"
	User string `json:"user"`

	// Connection is the laptop that the traffic goes to.
	Connection ConnectionReference `json:"connection"`

	// Workload is whose traffic is meant.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="workload can't be changed"
	Workload WorkloadReference `json:"workload"`

	// Ports are the ports of the workload and where their traffic goes on the laptop.
	// +listType=map
	// +listMapKey=port
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Ports []InterceptPort `json:"ports"`

	// Match limits the intercept to some requests. Without it, all traffic of the ports is meant.
	// +optional
	Match *Match `json:"match,omitempty"`

	// Mirror sends the laptop a copy; the app answers.
	// +optional
	Mirror bool `json:"mirror,omitempty"`

	// Expires is when the intercept ends by itself.
	// +optional
	Expires *metav1.Time `json:"expires,omitempty"`
}

// ConnectionReference names a Connection in the gateway's namespace.
type ConnectionReference struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// WorkloadReference names a workload in the Intercept's own namespace.
type WorkloadReference struct {
	// +kubebuilder:validation:Enum=Deployment;StatefulSet;DaemonSet;ReplicaSet;Job;Pod;Rollout
	Kind string `json:"kind"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Container names one of several containers; by default the one that has the port.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container,omitempty"`
}

// InterceptPort is one port of the workload.
type InterceptPort struct {
	// Port is the port number that the app listens on inside its pod.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// Protocol of the port.
	// +kubebuilder:validation:Enum=TCP;UDP
	// +kubebuilder:default=TCP
	// +optional
	Protocol string `json:"protocol,omitempty"`
	// TunnelPort is the port on the laptop's tunnel address where its listener waits.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	TunnelPort int32 `json:"tunnelPort"`
}

// Match says which requests are meant: those for which every part holds.
type Match struct {
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Headers []HeaderMatch `json:"headers,omitempty"`
	// +optional
	Path *ValueMatch `json:"path,omitempty"`
}

// HeaderMatch is a condition on one request header.
type HeaderMatch struct {
	// Name of the header; case does not matter.
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9!#$%&'*+.^_|~-]+$`
	// +kubebuilder:validation:MaxLength=256
	Name       string `json:"name"`
	ValueMatch `json:",inline"`
}

// ValueMatch is a condition on a value: exactly one of its fields is set.
// +kubebuilder:validation:XValidation:rule="(has(self.exact) ? 1 : 0) + (has(self.prefix) ? 1 : 0) + (has(self.regex) ? 1 : 0) == 1",message="set exactly one of exact, prefix and regex"
type ValueMatch struct {
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Exact *string `json:"exact,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Prefix *string `json:"prefix,omitempty"`
	// Regex in RE2 syntax, which must match the whole value.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Regex *string `json:"regex,omitempty"`
}

// InterceptStatus is what the gateway answers.
type InterceptStatus struct {
	// +optional
	Phase InterceptPhase `json:"phase,omitempty"`
	// +optional
	Message string `json:"message,omitempty"`
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// Intercept is a share of a workload's traffic that goes to a laptop.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.spec.user`
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.workload.kind`
// +kubebuilder:printcolumn:name="Workload",type=string,JSONPath=`.spec.workload.name`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Intercept struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec InterceptSpec `json:"spec"`
	// +optional
	Status InterceptStatus `json:"status,omitempty"`
}

// InterceptList is a list of Intercepts.
// +kubebuilder:object:root=true
type InterceptList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Intercept `json:"items"`
}
