// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Names of server-sent events (WHATWG HTML, section 9.2).
const (
	eventStatus   = "status"
	eventSnapshot = "snapshot"
	eventProgress = "progress"
	eventResult   = "result"
	eventError    = "error"

	eventIntercept = "intercept"
	eventEnded     = "ended"
)

// keepAlive is how often a silent stream gets a comment line, so that whoever went away is noticed. The WHATWG
// suggests every 15 seconds.
const keepAlive = 15 * time.Second

// maxEvent bounds one event, in bytes.
const maxEvent = 4 << 20

// eventWriter writes server-sent events. Its methods may be called at the same time.
type eventWriter struct {
	mu         sync.Mutex
	w          io.Writer
	controller *http.ResponseController
	timer      *time.Timer
	closed     bool
}

func newEventWriter(w http.ResponseWriter) *eventWriter {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	e := &eventWriter{w: w, controller: http.NewResponseController(w)}
	_ = e.controller.Flush()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.timer = time.AfterFunc(keepAlive, e.beat)
	return e
}

// send writes one event of the given name with v as JSON.
func (e *eventWriter) send(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.write(fmt.Sprintf("event: %s\ndata: %s\n\n", name, data))
}

func (e *eventWriter) beat() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		_ = e.write(":\n\n")
	}
}

func (e *eventWriter) write(text string) error {
	if e.closed {
		return io.ErrClosedPipe
	}
	e.timer.Reset(keepAlive)
	if _, err := io.WriteString(e.w, text); err != nil {
		return err
	}
	return e.controller.Flush()
}

// close stops the keep-alive: the response must not be written to after the handler has returned.
func (e *eventWriter) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.timer.Stop()
}

// event is one server-sent event as it arrived.
type event struct {
	Name string
	Data []byte
}

// eventReader reads server-sent events as far as this API uses them: event and data fields, comments, LF or CRLF.
type eventReader struct {
	scanner *bufio.Scanner
}

func newEventReader(r io.Reader) *eventReader {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 0, 16<<10), maxEvent)
	return &eventReader{scanner: scanner}
}

// next returns the next event that has data, or io.EOF at the end of the stream.
func (r *eventReader) next() (event, error) {
	var e event
	has := false
	for r.scanner.Scan() {
		line := r.scanner.Bytes()
		if len(line) == 0 {
			if has {
				return e, nil
			}
			e = event{}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.Name = string(value)
		case "data":
			if has {
				e.Data = append(e.Data, '\n')
			}
			if len(e.Data)+len(value) > maxEvent {
				return event{}, errors.New("read events: event is too large")
			}
			e.Data = append(e.Data, value...)
			has = true
		}
	}
	if err := r.scanner.Err(); err != nil {
		return event{}, fmt.Errorf("read events: %w", err)
	}
	return event{}, io.EOF
}
