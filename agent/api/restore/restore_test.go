// SPDX-License-Identifier: Apache-2.0

package restore

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestPatch(t *testing.T) {
	ports := []corev1.ServicePort{
		{Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromInt32(53)},
		{Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(28080)},
		{Port: 81, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(9000)}, // somebody changed it since
	}
	record, err := json.Marshal(Record{Ports: []Port{
		{Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("http"), Listen: 28080, To: 8080},
		{Port: 81, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(8081), Listen: 28081, To: 8081},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		annotations map[string]string
		want        string
	}{
		"nothing to put back": {want: `null`},
		"led to sidecars": {
			annotations: map[string]string{Annotation: string(record)},
			want: `[{"op":"test","path":"/metadata/resourceVersion","value":"7"},` +
				`{"op":"replace","path":"/spec/ports/1/targetPort","value":"http"},` +
				`{"op":"remove","path":"/metadata/annotations/fairlead.dev~1restore"}]`,
		},
		"a note that can't be read": {
			annotations: map[string]string{Annotation: "{"},
			want:        `[{"op":"test","path":"/metadata/resourceVersion","value":"7"},{"op":"remove","path":"/metadata/annotations/fairlead.dev~1restore"}]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := json.Marshal(Patch(&corev1.Service{
				ObjectMeta: metav1.ObjectMeta{ResourceVersion: "7", Annotations: c.annotations}, Spec: corev1.ServiceSpec{Ports: ports},
			}))
			if err != nil || string(got) != c.want {
				t.Errorf("%s, error %v, want %s", got, err, c.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"ports":[{"port":80,"protocol":"TCP","targetPort":"http","listen":28080,"to":8080}]}`)
	f.Add(`{}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{Annotation: text}}}
		record, _ := Read(service)
		record.Find(corev1.ServicePort{Port: 80})
		if Patch(service) == nil {
			t.Error("the annotation stays")
		}
	})
}
