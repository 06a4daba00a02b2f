// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// propagated are the request headers that the services hand on to the services they call, as tracing libraries do.
var propagated = []string{"Baggage", "Traceparent", "Tracestate", "X-Fairlead"}

// shutdownGrace is how long open requests have after SIGTERM.
const shutdownGrace = 2 * time.Second

// chunk is what /bytes sends at a time: enough to keep system calls rare.
var chunk = make([]byte, 256<<10)

// maximumBytes bounds /bytes, in bytes.
const maximumBytes = 1 << 40

// answer is what the services say for themselves on /.
type answer struct {
	identity
	From    string            `json:"from"`
	Headers map[string]string `json:"headers,omitempty"`
	Items   []string          `json:"items,omitempty"`
	Price   string            `json:"price,omitempty"`
	// Catalog is what the catalog answered to front, Error why it didn't.
	Catalog json.RawMessage `json:"catalog,omitempty"`
	Error   string          `json:"error,omitempty"`
}

func newAnswer(self identity, r *http.Request) answer {
	a := answer{identity: self, From: r.RemoteAddr, Headers: map[string]string{}}
	for _, name := range propagated {
		if value := r.Header.Get(name); value != "" {
			a.Headers[name] = value
		}
	}
	return a
}

// newMux has what every HTTP service has: /healthz, /hello, /headers, /bytes?n= to download and /sink to upload.
func newMux(self identity) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "hello from %s\n", self.Pod) })
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		respond(w, map[string]any{"pod": self.Pod, "from": r.RemoteAddr, "host": r.Host, "proto": r.Proto, "headers": r.Header})
	})
	mux.HandleFunc("/bytes", serveBytes)
	mux.HandleFunc("/sink", func(w http.ResponseWriter, r *http.Request) {
		count, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, fmt.Sprintf("read body: %v", err), http.StatusBadRequest)
			return
		}
		respond(w, map[string]any{"pod": self.Pod, "bytes": count})
	})
	return mux
}

// serveBytes sends as many zero bytes as the parameter n says.
func serveBytes(w http.ResponseWriter, r *http.Request) {
	count, err := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
	if err != nil || count < 0 || count > maximumBytes {
		http.Error(w, "say how many bytes with ?n=NUMBER", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(count, 10))
	for count > 0 {
		written, err := w.Write(chunk[:min(int64(len(chunk)), count)])
		if err != nil {
			return // the caller went away
		}
		count -= int64(written)
	}
}

func respond(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the caller may have gone away
}

// serveHTTP serves until ctx is done. HTTP/2 without TLS is spoken to those who begin with it.
func serveHTTP(ctx context.Context, address string, handler http.Handler) error {
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	stopped := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.Background(), shutdownGrace)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	})
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", address, err)
	}
	<-stopped
	return nil
}

func runCatalog(ctx context.Context, self identity) error {
	mux := newMux(self)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a := newAnswer(self, r)
		a.Items = []string{"anchor", "fairlead", "shackle", "winch"}
		respond(w, a)
	})
	prices, err := newPrices(setting("PRICING_ADDRESS", "pricing:9090"))
	if err != nil {
		return err
	}
	defer prices.conn.Close()
	mux.HandleFunc("/price/{item}", func(w http.ResponseWriter, r *http.Request) {
		a := newAnswer(self, r)
		price, err := prices.quote(r, r.PathValue("item"))
		if err != nil {
			a.Error = err.Error()
			w.WriteHeader(http.StatusBadGateway)
		}
		a.Price = price
		respond(w, a)
	})
	return serveHTTP(ctx, ":8080", mux)
}

func runInventory(ctx context.Context, self identity) error {
	mux := newMux(self)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { respond(w, newAnswer(self, r)) })
	return serveHTTP(ctx, ":8080", mux)
}

// runFront asks the catalog (CATALOG_URL) for each request and hands on the caller's tracing headers. For /price/ITEM the catalog
// asks pricing.
func runFront(ctx context.Context, self identity) error {
	catalog := setting("CATALOG_URL", "http://catalog/")
	client := &http.Client{Timeout: 5 * time.Second}
	mux := newMux(self)
	ask := func(w http.ResponseWriter, r *http.Request, path string) {
		a := newAnswer(self, r)
		body, err := fetch(r, client, strings.TrimSuffix(catalog, "/")+path)
		if err != nil {
			a.Error = err.Error()
			w.WriteHeader(http.StatusBadGateway)
		} else {
			a.Catalog = body
		}
		respond(w, a)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { ask(w, r, "/") })
	mux.HandleFunc("/price/{item}", func(w http.ResponseWriter, r *http.Request) { ask(w, r, "/price/"+url.PathEscape(r.PathValue("item"))) })
	return serveHTTP(ctx, ":8080", mux)
}

// fetch gets JSON from an address on behalf of the request r.
func fetch(r *http.Request, client *http.Client, address string) (json.RawMessage, error) {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	for _, name := range propagated {
		request.Header[name] = r.Header[name]
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask catalog: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read answer of catalog: %w", err)
	}
	if !json.Valid(body) {
		body, err = json.Marshal(string(body))
	}
	return body, err
}
