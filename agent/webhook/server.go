// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// Path is where the API server asks.
	Path = "/inject"

	// maxBody is the largest question, in bytes: etcd's limit of an object, twice over for the rest (as API servers and
	// controller-runtime have it).
	maxBody = 3 << 20

	// answerTime is how long the Injector may take: the API server waits two seconds, and a pod's birth should not be felt.
	answerTime = 800 * time.Millisecond

	// maxConnections bounds what anybody in the cluster can hold open.
	maxConnections = 256
)

// Injector decides which pods get a sidecar, and how. Inject returns a pod of its own making; it is not called with one
// that it may change. It must obey ctx, and be safe for concurrent use.
type Injector interface {
	Inject(ctx context.Context, namespace string, pod *corev1.Pod) (patched *corev1.Pod, changed bool, err error)
}

// Server is the webhook. It is safe for concurrent use.
type Server struct {
	injector Injector
	log      *slog.Logger
	counts   struct{ asked, injected, failed atomic.Uint64 }
}

// NewServer makes a webhook around an Injector.
func NewServer(injector Injector, log *slog.Logger) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Server{injector: injector, log: log}
}

// Stats are figures since a Server was made.
type Stats struct{ Asked, Injected, Failed uint64 }

// Stats returns them.
func (s *Server) Stats() Stats {
	stats := Stats{Injected: s.counts.injected.Load(), Failed: s.counts.failed.Load()}
	stats.Asked = s.counts.asked.Load() // last, so that it is never less than the others
	return stats
}

// Serve answers over TLS until ctx ends or the listener fails. It closes the listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener, certificate tls.Certificate) error {
	mux := http.NewServeMux()
	mux.Handle("POST "+Path, s)
	server := &http.Server{
		Handler: mux, MaxHeaderBytes: 16 << 10,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		// HTTP/1.1 only: a connection to a gateway that is gone costs one question then, not all until a ping fails.
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
	}
	defer context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(ending) != nil {
			_ = server.Close() // only closes what is left
		}
	})()
	err := server.Serve(tls.NewListener(netutil.LimitListener(listener, maxConnections), server.TLSConfig))
	if ctx.Err() != nil && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the webhook: %w", err)
}

// ServeHTTP answers one AdmissionReview.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		http.Error(w, "an AdmissionReview as application/json is needed", http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "read the AdmissionReview: "+err.Error(), status)
		return
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		http.Error(w, "decode the AdmissionReview: "+err.Error(), http.StatusBadRequest)
		return
	}
	if review.GroupVersionKind() != admissionv1.SchemeGroupVersion.WithKind("AdmissionReview") || review.Request == nil || review.Request.UID == "" {
		http.Error(w, "a request in an AdmissionReview of admission.k8s.io/v1 is needed", http.StatusBadRequest)
		return
	}
	answer, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: s.review(r.Context(), review.Request)})
	if err != nil {
		http.Error(w, "encode the AdmissionReview: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer) // the API server may have gone
}

// review allows the pod in any case, with a patch if there is one.
func (s *Server) review(ctx context.Context, request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	s.counts.asked.Add(1)
	response := &admissionv1.AdmissionResponse{UID: request.UID, Allowed: true}
	patch, err := s.patch(ctx, request)
	switch {
	case err != nil:
		s.counts.failed.Add(1)
		s.log.Warn("a pod is made without a sidecar", "namespace", request.Namespace, "error", err)
		response.Warnings = []string{"Fairlead adds no sidecar to this pod: " + err.Error()}
	case patch != nil:
		s.counts.injected.Add(1)
		kind := admissionv1.PatchTypeJSONPatch
		response.Patch, response.PatchType = patch, &kind
	}
	return response
}

// patch returns what is to be changed, nil for nothing.
func (s *Server) patch(ctx context.Context, request *admissionv1.AdmissionRequest) ([]byte, error) {
	if request.Operation != admissionv1.Create || request.SubResource != "" || request.Kind != metav1.GroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod")) {
		return nil, nil // not what we ask to be asked
	}
	var pod corev1.Pod
	if err := json.Unmarshal(request.Object.Raw, &pod); err != nil {
		return nil, fmt.Errorf("decode the pod: %w", err)
	}
	patched, changed, err := s.inject(ctx, request.Namespace, pod.DeepCopy())
	if err != nil || !changed {
		return nil, err
	}
	return jsonPatch(request.Object.Raw, &pod, patched)
}

// inject asks the Injector, for no longer than answerTime.
func (s *Server) inject(ctx context.Context, namespace string, pod *corev1.Pod) (*corev1.Pod, bool, error) {
	type result struct {
		pod     *corev1.Pod
		changed bool
		err     error
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if cause := recover(); cause != nil {
				s.log.Error("the injector panicked", "cause", cause, "stack", string(debug.Stack()))
				r = result{err: errors.New("internal error")}
			}
			done <- r
		}()
		r.pod, r.changed, r.err = s.injector.Inject(ctx, namespace, pod)
	}()
	select {
	case r := <-done:
		return r.pod, r.changed, r.err
	case <-ctx.Done():
		return nil, false, errors.New("the gateway took too long to decide")
	}
}
