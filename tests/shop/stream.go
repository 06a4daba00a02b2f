// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// eventInterval is how often /events sends one.
const eventInterval = 200 * time.Millisecond

// runStream serves a WebSocket that echoes on /ws and server-sent events on /events.
func runStream(ctx context.Context, self identity) error {
	mux := newMux(self)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { respond(w, newAnswer(self, r)) })
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) { echoMessages(w, r, self) })
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) { sendEvents(ctx, w, r, self) })
	return serveHTTP(ctx, ":8080", mux)
}

// echoMessages sends every message back. The message "whoami" gets the pod's name and the caller's address.
func echoMessages(w http.ResponseWriter, r *http.Request, self identity) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	conn.SetReadLimit(16 << 20)
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil {
			return // closed, by either side
		}
		if string(message) == whoami {
			message = []byte(describeCaller(self, r.RemoteAddr))
		}
		if err := conn.Write(r.Context(), kind, message); err != nil {
			return
		}
	}
}

// sendEvents numbers its events, until the caller goes away or the service ends.
func sendEvents(ctx context.Context, w http.ResponseWriter, r *http.Request, self identity) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	controller := http.NewResponseController(w)
	ticker := time.NewTicker(eventInterval)
	defer ticker.Stop()
	for number := 1; ; number++ {
		if _, err := fmt.Fprintf(w, "id: %d\ndata: event %d from %s\n\n", number, number, self.Pod); err != nil {
			return
		}
		if err := controller.Flush(); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
	}
}
