// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// inject is an Injector from a function.
type inject func(ctx context.Context, namespace string, pod *corev1.Pod) (*corev1.Pod, bool, error)

func (f inject) Inject(ctx context.Context, namespace string, pod *corev1.Pod) (*corev1.Pod, bool, error) {
	return f(ctx, namespace, pod)
}

// addSidecar does what injectors do, and changes what it is given.
func addSidecar(_ context.Context, _ string, pod *corev1.Pod) (*corev1.Pod, bool, error) {
	always := corev1.ContainerRestartPolicyAlways
	pod.Spec.InitContainers = append([]corev1.Container{{Name: "fairlead-1", Image: "sidecar:1", RestartPolicy: &always}}, pod.Spec.InitContainers...)
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "token"})
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations["fairlead.dev/a~b"] = ""
	return pod, true, nil
}

// question is an AdmissionReview about a pod.
func question(t *testing.T, pod string, change func(*admissionv1.AdmissionRequest)) []byte {
	t.Helper()
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "u-1", Namespace: "shop", Operation: admissionv1.Create, Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
			Object: runtime.RawExtension{Raw: []byte(pod)},
		},
	}
	if change != nil {
		change(review.Request)
	}
	body, err := json.Marshal(review)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// ask sends a question and returns the status and what the answer holds.
func ask(t *testing.T, injector Injector, body []byte) (int, *admissionv1.AdmissionResponse) {
	t.Helper()
	request := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	recorder := httptest.NewRecorder()
	NewServer(injector, nil).ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK {
		return recorder.Code, nil
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(recorder.Body.Bytes(), &review); err != nil {
		t.Fatal(err)
	}
	if review.APIVersion != "admission.k8s.io/v1" || review.Kind != "AdmissionReview" || review.Request != nil || review.Response == nil || review.Response.UID != "u-1" {
		t.Fatalf("answer %+v", review)
	}
	return recorder.Code, review.Response
}

// The patch leads from the pod as it was sent to the pod as the Injector wants it; what this program's Kubernetes does not
// know stays.
func TestPatch(t *testing.T) {
	for name, pod := range map[string]string{
		"small": `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"app","image":"x","resources":{}}]}}`,
		"init containers, unknown fields": `{"metadata":{"name":"a","annotations":{"k":"v"},"future":1},"spec":{"future":{"a":[1]},"containers":[{"name":"app","image":"x","future":true}],
			"initContainers":[{"name":"one","image":"x","future":9007199254740993},{"name":"two","image":"y"}],"volumes":[{"name":"v","emptyDir":{},"future":"x"}]}}`,
	} {
		_, response := ask(t, inject(addSidecar), question(t, pod, nil))
		if !response.Allowed || response.PatchType == nil || *response.PatchType != admissionv1.PatchTypeJSONPatch || len(response.Warnings) != 0 {
			t.Fatalf("%s: response %+v", name, response)
		}
		patch, err := jsonpatch.DecodePatch(response.Patch)
		if err != nil {
			t.Fatal(err)
		}
		patched, err := patch.Apply([]byte(pod))
		if err != nil {
			t.Fatalf("%s: apply %s: %v", name, response.Patch, err)
		}
		var was, is corev1.Pod
		for text, into := range map[string]*corev1.Pod{pod: &was, string(patched): &is} {
			if err := json.Unmarshal([]byte(text), into); err != nil {
				t.Fatal(err)
			}
		}
		wanted, _, _ := addSidecar(t.Context(), "", &was)
		if got, want := encode(t, is), encode(t, *wanted); got != want {
			t.Errorf("%s: patched to\n%s\nwant\n%s", name, got, want)
		}
		if before, after := strings.Count(pod, "future"), strings.Count(string(patched), "future"); before != after {
			t.Errorf("%s: of %d unknown fields %d are left in %s", name, before, after, patched)
		}
		if strings.Contains(pod, "9007199254740993") && !strings.Contains(string(patched), "9007199254740993") {
			t.Errorf("%s: a number has changed in %s", name, patched)
		}
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPatchOfOtherChanges(t *testing.T) {
	pod := `{"metadata":{"name":"a","labels":{"gone":"x","stays":"y"}},"spec":{"containers":[{"name":"a","image":"x"},{"name":"b","image":"x"},{"name":"c","image":"x"}]}}`
	for name, change := range map[string]func(*corev1.Pod){
		"a label":              func(p *corev1.Pod) { delete(p.Labels, "gone") },
		"all labels":           func(p *corev1.Pod) { p.Labels = nil },
		"an image":             func(p *corev1.Pod) { p.Spec.Containers[1].Image = "y" },
		"a container less":     func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers[:1], p.Spec.Containers[2]) },
		"other containers":     func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{{Name: "z"}, {Name: "c", Image: "x"}} },
		"a container repeated": func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, p.Spec.Containers[2]) },
		"a false value":        func(p *corev1.Pod) { p.Spec.EnableServiceLinks = new(false) },
	} {
		changed := func(_ context.Context, _ string, pod *corev1.Pod) (*corev1.Pod, bool, error) {
			change(pod)
			return pod, true, nil
		}
		_, response := ask(t, inject(changed), question(t, pod, nil))
		patch, err := jsonpatch.DecodePatch(response.Patch)
		if err != nil {
			t.Fatal(err)
		}
		patched, err := patch.Apply([]byte(pod))
		if err != nil {
			t.Fatalf("%s: apply %s: %v", name, response.Patch, err)
		}
		var was, is corev1.Pod
		if err := errors.Join(json.Unmarshal([]byte(pod), &was), json.Unmarshal(patched, &is)); err != nil {
			t.Fatal(err)
		}
		if change(&was); encode(t, is) != encode(t, was) {
			t.Errorf("%s: patched to %s", name, patched)
		}
	}
}

// Whatever goes wrong, the pod is made.
func TestPodsAreAlwaysAllowed(t *testing.T) {
	pod := `{"metadata":{"name":"a"},"spec":{"containers":[]}}`
	never := inject(func(context.Context, string, *corev1.Pod) (*corev1.Pod, bool, error) { panic("not to be asked") })
	for name, c := range map[string]struct {
		injector inject
		pod      string
		change   func(*admissionv1.AdmissionRequest)
		warned   bool
	}{
		"nothing to do": {injector: func(_ context.Context, _ string, p *corev1.Pod) (*corev1.Pod, bool, error) { return p, false, nil }},
		"an error": {injector: func(context.Context, string, *corev1.Pod) (*corev1.Pod, bool, error) {
			return nil, false, errors.New("no room")
		}, warned: true},
		"a panic": {injector: never, warned: true},
		"no answer": {injector: func(ctx context.Context, _ string, _ *corev1.Pod) (*corev1.Pod, bool, error) {
			<-ctx.Done()
			select {}
		}, warned: true},
		"no pod":         {injector: never, pod: `[]`, warned: true},
		"an update":      {injector: never, change: func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update }},
		"a subresource":  {injector: never, change: func(r *admissionv1.AdmissionRequest) { r.SubResource = "exec" }},
		"something else": {injector: never, change: func(r *admissionv1.AdmissionRequest) { r.Kind.Kind = "Service" }},
	} {
		if c.pod == "" {
			c.pod = pod
		}
		status, response := ask(t, c.injector, question(t, c.pod, c.change))
		if status != http.StatusOK || !response.Allowed || response.Patch != nil || (len(response.Warnings) == 1) != c.warned {
			t.Errorf("%s: status %d, response %+v", name, status, response)
		}
	}
}

func TestOtherQuestionsAreRefused(t *testing.T) {
	never := inject(func(context.Context, string, *corev1.Pod) (*corev1.Pod, bool, error) { panic("not to be asked") })
	good := string(question(t, `{}`, nil))
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"not JSON":        {"hello", http.StatusBadRequest},
		"another version": {strings.Replace(good, "admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1), http.StatusBadRequest},
		"another kind":    {strings.Replace(good, `"AdmissionReview"`, `"Review"`, 1), http.StatusBadRequest},
		"no request":      {`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, http.StatusBadRequest},
		"no UID":          {strings.Replace(good, `"u-1"`, `""`, 1), http.StatusBadRequest},
		"too large":       {good[:len(good)-1] + strings.Repeat(" ", maxBody) + "}", http.StatusRequestEntityTooLarge},
	} {
		if status, _ := ask(t, never, []byte(c.body)); status != c.status {
			t.Errorf("%s: status %d, want %d", name, status, c.status)
		}
	}
	request := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(good))
	recorder := httptest.NewRecorder()
	if NewServer(never, nil).ServeHTTP(recorder, request); recorder.Code != http.StatusUnsupportedMediaType {
		t.Errorf("without a content type: status %d", recorder.Code)
	}
}

func FuzzReview(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","operation":"CREATE","kind":{"version":"v1","kind":"Pod"},"object":{"spec":{"initContainers":[{"name":"x"}]}}}}`))
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","operation":"CREATE","kind":{"version":"v1","kind":"Pod"},"object":{"metadata":{"annotations":null},"spec":null}}}`))
	server := NewServer(inject(addSidecar), nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		request := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		server.ServeHTTP(recorder, request)
		if recorder.Code != http.StatusOK {
			return
		}
		var question, answer admissionv1.AdmissionReview
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || !answer.Response.Allowed {
			t.Fatalf("answer %s: %v", recorder.Body, err)
		}
		if answer.Response.Patch == nil || json.Unmarshal(body, &question) != nil {
			return
		}
		patch, err := jsonpatch.DecodePatch(answer.Response.Patch)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := patch.Apply(question.Request.Object.Raw); err != nil {
			t.Fatalf("apply %s to %s: %v", answer.Response.Patch, question.Request.Object.Raw, err)
		}
	})
}
