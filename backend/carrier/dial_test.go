// SPDX-License-Identifier: Apache-2.0

package carrier

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// kubelet is the far end of a port-forward: it echoes the data stream, or reports an error.
type kubelet struct {
	report string

	mu      sync.Mutex
	streams []httpstream.Stream
	last    string // method and path of a request
}

// accept takes a stream, and serves once both are there.
func (k *kubelet) accept(stream httpstream.Stream, _ <-chan struct{}) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.streams = append(k.streams, stream)
	if len(k.streams) == 2 {
		go k.serve()
	}
	return nil
}

func (k *kubelet) serve() {
	var data, reports httpstream.Stream
	for _, s := range k.streams {
		if s.Headers().Get(core.PortHeader) != "8642" {
			k.report = "wrong port " + s.Headers().Get(core.PortHeader)
		}
		if s.Headers().Get(core.StreamType) == core.StreamTypeData {
			data = s
		} else {
			reports = s
		}
	}
	if k.report != "" {
		io.WriteString(reports, k.report) //nolint:errcheck // the test sees what arrives
		reports.Close()                   //nolint:errcheck // likewise
		return
	}
	io.Copy(data, data) //nolint:errcheck // likewise
}

// note keeps what was asked for.
func (k *kubelet) note(r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last = r.Method + " " + r.URL.Path
}

// asked is what was asked for last.
func (k *kubelet) asked() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last
}

// overWebSocket serves port-forwards as API servers since 1.30 do.
func (k *kubelet) overWebSocket(w http.ResponseWriter, r *http.Request) {
	k.note(r)
	upgrader := websocket.Upgrader{Subprotocols: []string{tunnelPrefix + portforward.PortForwardProtocolV1Name}}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	serverConn, err := spdy.NewServerConnection(portforward.NewTunnelingConnectionWithLogger(klog.Background(), conn), k.accept)
	if err == nil {
		<-serverConn.CloseChan()
	}
}

// overSPDY serves port-forwards as API servers before that, or behind proxies without WebSockets, do.
func (k *kubelet) overSPDY(w http.ResponseWriter, r *http.Request) {
	k.note(r)
	if websocket.IsWebSocketUpgrade(r) {
		http.Error(w, "no WebSockets here", http.StatusBadRequest)
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
		return
	}
	if conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, k.accept); conn != nil {
		<-conn.CloseChan()
	}
}

func dialTo(t *testing.T, handler http.HandlerFunc) (io.ReadWriteCloser, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return NewDialer(&rest.Config{Host: server.URL}).Dial(t.Context(), podA)
}

func TestDialEchoes(t *testing.T) {
	for _, test := range []struct {
		name    string
		handler func(*kubelet) http.HandlerFunc
		want    string
	}{
		{"WebSocket", func(k *kubelet) http.HandlerFunc { return k.overWebSocket }, "GET /api/v1/namespaces/fairlead/pods/a/portforward"},
		{"SPDY where there are no WebSockets", func(k *kubelet) http.HandlerFunc { return k.overSPDY }, "POST /api/v1/namespaces/fairlead/pods/a/portforward"},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := &kubelet{}
			stream, err := dialTo(t, test.handler(k))
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close() //nolint:errcheck // the test is over
			if last := k.asked(); last != test.want {
				t.Errorf("asked for %s, want %s", last, test.want)
			}
			sent := strings.Repeat("fairlead", 100_000)
			go io.WriteString(stream, sent) //nolint:errcheck // what comes back says it
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(stream, got); err != nil || string(got) != sent {
				t.Fatalf("the echo differs: %v", err)
			}
		})
	}
}

func TestDialSaysWhatTheKubeletReports(t *testing.T) {
	stream, err := dialTo(t, (&kubelet{report: "nothing listens on port 8642"}).overWebSocket)
	if err == nil { // the report comes after the kubelet has accepted, or before
		defer stream.Close() //nolint:errcheck // the test is over
		_, err = stream.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(err.Error(), "nothing listens on port 8642") {
		t.Errorf("got %v", err)
	}
}

func TestDialKeepsTheStatusOfARefusal(t *testing.T) {
	_, err := dialTo(t, func(w http.ResponseWriter, _ *http.Request) {
		refusal := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "a", errors.New("no right")).Status()
		refusal.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		json.NewEncoder(w).Encode(refusal) //nolint:errcheck // the client sees it
	})
	if !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want a status error of Forbidden", err)
	}
}

func TestDialGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-release
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	go func() {
		<-asked
		cancel()
	}()
	if _, err := NewDialer(&rest.Config{Host: server.URL}).Dial(ctx, podA); err == nil {
		t.Error("a Dial whose context is done must fail")
	}
}

// A kubelet that has gone away mid-way answers never; whoever disconnects must not wait for it.
func TestDialDoesNotWaitForStreamsOnceItsContextIsDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrader := websocket.Upgrader{Subprotocols: []string{tunnelPrefix + portforward.PortForwardProtocolV1Name}}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		if _, _, err := conn.ReadMessage(); err == nil { // the first stream is being asked for
			cancel()
		}
	}))
	t.Cleanup(server.Close)
	if _, err := NewDialer(&rest.Config{Host: server.URL}).Dial(ctx, podA); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
