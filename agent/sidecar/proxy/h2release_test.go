// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// TestHTTP2RulesComeAndGo asks over HTTP/2 while intercepts, or the port's redirect as a whole, come and go all the time, on
// connections old and new: each request is answered, by the laptop or by the app, also one that waits for a connection to
// a laptop whose intercept has just ended.
func TestHTTP2RulesComeAndGo(t *testing.T) {
	other := wire.Rule{Intercept: "uid-bob", Match: &wire.Match{Key: "bob"}}
	for name, without := range map[string]func(*stage){
		"intercepts": func(s *stage) { s.rules(other) },
		"the redirect": func(s *stage) {
			if err := s.proxy.SetPorts(nil, nil, nil); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, serveHTTP(named("app")), serveHTTP(named("laptop")))
			ended := make(chan struct{})
			var all sync.WaitGroup
			for _, key := range []string{"ann", "ann", "nobody", "nobody"} {
				all.Go(func() {
					for n := 0; !isClosed(ended); n++ {
						if err := askHTTP2(s.address, key, n%4+1); err != nil {
							t.Errorf("connection %d with the key %s: %v", n, key, err)
							return
						}
					}
				})
			}
			for i := range 1500 {
				if i%2 == 0 {
					s.rules(keyed("ann"), other)
				} else {
					without(s)
				}
				time.Sleep(time.Duration(i%5) * 200 * time.Microsecond)
			}
			close(ended)
			all.Wait()
		})
	}
}

// TestThePodEndsHTTP2 asks over HTTP/2 for what a laptop answers while the app ends, with a notice or without. Requests that must
// not be repeated get their answers, on a connection that the app's end finds anywhere between two of them; the client asks anew
// only for those of which it is told that nobody has looked at them.
func TestThePodEndsHTTP2(t *testing.T) {
	for name, end := range map[string]func(*http.Server) error{
		"with a notice": func(s *http.Server) error { return s.Shutdown(t.Context()) },
		"without":       (*http.Server).Close,
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				app := &http.Server{Handler: named("app"), Protocols: new(http.Protocols)}
				app.Protocols.SetUnencryptedHTTP2(true)
				s := newStage(t, func(l net.Listener) { _ = app.Serve(l) }, serveHTTP(named("laptop")))
				s.rules(keyed("ann"))
				ended := make(chan struct{})
				var all sync.WaitGroup
				var answered atomic.Int64
				for range 4 {
					client := h2Client()
					all.Go(func() {
						defer client.CloseIdleConnections()
						for n := 0; !isClosed(ended); n++ {
							request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+"/", strings.NewReader("once"))
							if err != nil {
								t.Error(err)
								return
							}
							request.Header.Set("X-Fairlead", "ann")
							answer, err := client.Do(request)
							if err != nil {
								t.Errorf("request %d: %v", n, err)
								return
							}
							_, _ = io.Copy(io.Discard, answer.Body)
							_ = answer.Body.Close()
							answered.Add(1)
							if from := answer.Header.Get("X-From"); from != "laptop" {
								t.Errorf("request %d was answered by %q, %s", n, from, answer.Status)
							}
						}
					})
				}
				more := func() { // of the requests, on connections that are in use
					t.Helper()
					until := answered.Load() + 40
					eventually(t, "answers come", func() bool { return t.Failed() || answered.Load() >= until })
				}
				more()
				s.proxy.PodEnds()
				if err := end(app); err != nil {
					t.Error(err)
				}
				s.proxy.AppGone("Gentle")
				more()
				close(ended)
				all.Wait()
			}
		})
	}
}

// askHTTP2 asks some times with a key, over a connection of its own.
func askHTTP2(address, key string, times int) error {
	client := h2Client()
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for range times {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
		if err != nil {
			return err
		}
		request.Header.Set("X-Fairlead", key)
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", answer.Status, text)
		}
	}
	return nil
}

// TestNoticesAreNotTakenBack: the last stream that a notice names never grows: RFC 9113, section 6.8.
func TestNoticesAreNotTakenBack(t *testing.T) {
	h := &h2conn{caller: &caller{proxy: New(Options{})}, streams: map[*h2stream]struct{}{}, peers: map[*h2peer]struct{}{}, lastID: 5}
	h.down, h.app = newH2Peer(h, nil), newH2Peer(h, nil)
	h.notify()
	h.leave(h2NoError, nil)
	h.part()
	h.wentAway(h.app, h2MaxWindow, h2NoError, nil)
	var named []uint32
	for b := h.down.out; len(b) > 0; {
		size := 9 + (int(b[0])<<16 | int(b[1])<<8 | int(b[2]))
		if frameType(b[3]) == frameGoAway {
			named = append(named, binary.BigEndian.Uint32(b[9:]))
		}
		b = b[size:]
	}
	if want := []uint32{h2MaxWindow, 5}; !slices.Equal(named, want) {
		t.Errorf("the notices name %v, want %v", named, want)
	}
}
