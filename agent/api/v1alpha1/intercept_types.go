// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// InterceptPhase is where an Intercept stands.
// +kubebuilder:validation:Enum=Pending;Active;Suspended;Refused;Ended
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
	// InterceptEnded: everything is put back; the object may go.
	InterceptEnded InterceptPhase = "Ended"
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
	// +listMapKey=protocol
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Ports []InterceptPort `json:"ports"`

	// Match limits the intercept to some requests. Without it, all traffic of the ports is meant.
	// +optional
	Match *Match `json:"match,omitempty"`

	// Mirror sends the laptop a copy; the app answers.
	// +optional
	Mirror bool `json:"mirror,omitempty"`

	// Redirect is how traffic is made to reach the sidecars.
	// +kubebuilder:default=Auto
	// +optional
	Redirect RedirectMode `json:"redirect,omitempty"`

	// Takeover says what becomes of connections that were open before.
	// +kubebuilder:default=Gentle
	// +optional
	Takeover TakeoverMode `json:"takeover,omitempty"`

	// Expires is when the intercept ends by itself. Without it, the gateway's own limit counts from the creation.
	// +optional
	Expires *metav1.Time `json:"expires,omitempty"`

	// Leaving asks the gateway to put everything back now; it says Ended in the status when that is done, and the owner
	// deletes the object then. Deleting without it works, too, but nobody hears when it is done.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self || !oldSelf",message="an intercept that is leaving can't be taken back"
	Leaving bool `json:"leaving,omitempty"`
}

// RedirectMode is how traffic is made to reach the sidecars.
// +kubebuilder:validation:Enum=Auto;Instant;Unprivileged
type RedirectMode string

const (
	// RedirectAuto lets the gateway choose, and say why.
	RedirectAuto RedirectMode = "Auto"
	// RedirectInstant lets the kernel hand new connections of the port to the sidecar (BPF sk_lookup). It needs
	// CAP_BPF and CAP_NET_ADMIN in the sidecar, and changes no Service.
	RedirectInstant RedirectMode = "Instant"
	// RedirectUnprivileged points the Services' ports at a port of the sidecar, which needs no capability. What
	// calls pods by their own addresses is not redirected.
	RedirectUnprivileged RedirectMode = "Unprivileged"
)

// TakeoverMode says what becomes of connections to the app that were open before an intercept, and of those to the
// laptop after it.
// +kubebuilder:validation:Enum=Gentle;Force;None
type TakeoverMode string

const (
	// TakeoverGentle closes connections when they are idle, so that callers open new ones.
	TakeoverGentle TakeoverMode = "Gentle"
	// TakeoverForce closes all of them at once.
	TakeoverForce TakeoverMode = "Force"
	// TakeoverNone leaves them alone.
	TakeoverNone TakeoverMode = "None"
)

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
	// TunnelPort is the port on the laptop's tunnel address where its listener waits. It may be the same for all.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	TunnelPort int32 `json:"tunnelPort"`
}

// Match says which requests are meant: those for which every part holds.
// +kubebuilder:validation:XValidation:rule="has(self.key) || has(self.path) || (has(self.headers) && size(self.headers) > 0)",message="a match needs a key, a header or a path; without a match all traffic is meant"
type Match struct {
	// Key is held by requests with the header "x-fairlead: KEY", and by those with the member fairlead=KEY in their
	// header baggage (W3C Baggage), which tracing libraries pass on from service to service.
	// +optional
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`
	Key *string `json:"key,omitempty"`
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
	// Since is when it became active for the first time.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// Expires is when it ends by itself.
	// +optional
	Expires *metav1.Time `json:"expires,omitempty"`
	// SilentSince is since when its laptop has not been heard.
	// +optional
	SilentSince *metav1.Time `json:"silentSince,omitempty"`

	// Redirect is the way in use, and RedirectReason why that one.
	// +optional
	Redirect RedirectMode `json:"redirect,omitempty"`
	// +optional
	RedirectReason string `json:"redirectReason,omitempty"`

	// PodsReady is how many pods of the workload are ready, PodsCovered in how many of those the redirect is in place.
	// +optional
	PodsReady int32 `json:"podsReady,omitempty"`
	// +optional
	PodsCovered int32 `json:"podsCovered,omitempty"`
	// Pods says it pod by pod, at most 100.
	// +optional
	// +listType=map
	// +listMapKey=name
	Pods []InterceptPod `json:"pods,omitempty"`
	// Local says of each port whether a program answers on the laptop.
	// +optional
	// +listType=map
	// +listMapKey=port
	// +listMapKey=protocol
	Local []InterceptLocal `json:"local,omitempty"`
	// Counts are the sums over all pods since the intercept began.
	// +optional
	Counts InterceptCounts `json:"counts,omitempty"`
	// Notes are plain sentences about what the owner should know, such as callers that bypass the intercept.
	// +optional
	// +listType=atomic
	Notes []string `json:"notes,omitempty"`
}

// InterceptPod is what is known of one pod.
type InterceptPod struct {
	Name string `json:"name"`
	// Covered: the redirect is in place and a probe has gone the whole way to the laptop.
	Covered bool `json:"covered"`
	// Message says what is being waited for or what is wrong.
	// +optional
	Message string `json:"message,omitempty"`
	// Bypassing is how many connections that were open before still go to the app.
	// +optional
	Bypassing int32 `json:"bypassing,omitempty"`
	// Container is the name of the sidecar in the pod.
	// +optional
	Container string `json:"container,omitempty"`
}

// InterceptLocal is the laptop's end of one port.
type InterceptLocal struct {
	// Port is the port of the workload.
	Port int32 `json:"port"`
	// +kubebuilder:default=TCP
	Protocol string `json:"protocol"`
	// Listening: a program answers on the laptop.
	Listening bool `json:"listening"`
	// Address is where on the laptop the traffic goes, such as 127.0.0.1:3000.
	// +optional
	Address string `json:"address,omitempty"`
}

// InterceptCounts counts requests where they are told apart, and connections or UDP flows elsewhere.
type InterceptCounts struct {
	// Matched went to the laptop.
	// +optional
	Matched int64 `json:"matched,omitempty"`
	// Passed were not meant and went to the app.
	// +optional
	Passed int64 `json:"passed,omitempty"`
	// FallenBack were meant, but the laptop did not take them; they went to the app.
	// +optional
	FallenBack int64 `json:"fallenBack,omitempty"`
	// Unreadable are connections that could not be looked into, such as TLS; they went to the app.
	// +optional
	Unreadable int64 `json:"unreadable,omitempty"`
}

// Intercept is a share of a workload's traffic that goes to a laptop.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.spec.user`
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.workload.kind`
// +kubebuilder:printcolumn:name="Workload",type=string,JSONPath=`.spec.workload.name`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.podsCovered`
// +kubebuilder:printcolumn:name="Matched",type=integer,JSONPath=`.status.counts.matched`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`,priority=1
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
