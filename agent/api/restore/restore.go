// SPDX-License-Identifier: Apache-2.0

// Package restore is what the gateway notes at a Service while its ports lead to sidecars, and how the Service is put back:
// by the gateway, or by whoever removes the gateway when that is dead. It is pure; it must not talk to Kubernetes.
package restore

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Annotation of a Service says what its ports were before they led to sidecars: a Record.
const Annotation = "fairlead.dev/restore"

// AnnotationPath is where a JSON patch finds the Annotation.
const AnnotationPath = "/metadata/annotations/fairlead.dev~1restore"

// Record is the value of the Annotation.
type Record struct {
	Ports []Port `json:"ports"`
}

// Port says what a port of a Service was.
type Port struct {
	Port       int32              `json:"port"`
	Protocol   corev1.Protocol    `json:"protocol"`
	TargetPort intstr.IntOrString `json:"targetPort"`
	// Listen is the sidecars' port that it leads to, To the app's port that it led to.
	Listen int32 `json:"listen"`
	To     int32 `json:"to"`
}

// Read returns what a Service's annotation says, or nil if it has none. With an error it returns an empty Record.
func Read(service *corev1.Service) (*Record, error) {
	text, ok := service.Annotations[Annotation]
	if !ok {
		return nil, nil
	}
	record := &Record{}
	if err := json.Unmarshal([]byte(text), record); err != nil {
		return &Record{}, fmt.Errorf("read annotation %s of service %s: %w", Annotation, service.Name, err)
	}
	return record, nil
}

// Find returns the entry of a Service's port, or nil.
func (r *Record) Find(p corev1.ServicePort) *Port {
	if r == nil {
		return nil
	}
	for i := range r.Ports {
		if r.Ports[i].Port == p.Port && r.Ports[i].Protocol == p.Protocol {
			return &r.Ports[i]
		}
	}
	return nil
}

// Operation is one of a JSON patch (RFC 6902).
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// Patch returns what puts a Service back, or nil if there is nothing to put back. Ports that somebody else changed
// meanwhile stay as they are. It applies to the Service as it was read only.
func Patch(service *corev1.Service) []Operation {
	if _, ok := service.Annotations[Annotation]; !ok {
		return nil
	}
	record, _ := Read(service) // what can't be read can't be put back, and goes
	patch := Unchanged(service)
	for i, p := range service.Spec.Ports {
		if entry := record.Find(p); entry != nil && p.TargetPort == intstr.FromInt32(entry.Listen) {
			patch = append(patch, Operation{Op: "replace", Path: TargetPath(i), Value: entry.TargetPort})
		}
	}
	return append(patch, Operation{Op: "remove", Path: AnnotationPath})
}

// Unchanged makes a patch apply to the version that was read only.
func Unchanged(service *corev1.Service) []Operation {
	return []Operation{{Op: "test", Path: "/metadata/resourceVersion", Value: service.ResourceVersion}}
}

// TargetPath is where a JSON patch finds the target of a Service's port.
func TargetPath(i int) string { return fmt.Sprintf("/spec/ports/%d/targetPort", i) }
