// SPDX-License-Identifier: Apache-2.0

package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// supervisor starts and stops the components of a host and, being its PID 1, reaps every orphan.
type supervisor struct {
	mu         sync.Mutex
	components map[string]*process
}

// process is one run of a component. Fields but done are guarded by the supervisor's mutex.
type process struct {
	status ComponentStatus
	done   chan struct{} // closed when the process was reaped
}

func newSupervisor() *supervisor {
	return &supervisor{components: map[string]*process{}}
}

// serve answers control requests and reaps until the listener is closed.
func (s *supervisor) serve(listener net.Listener) error {
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	defer signal.Stop(children)
	// Ends of terminals and make targets must not end a host; only SIGKILL does.
	deadly := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE}
	signal.Ignore(deadly...)
	defer signal.Reset(deadly...)
	go func() {
		for range children {
			s.reap()
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /components", s.handleList)
	mux.HandleFunc("PUT /components/{name}", s.handleStart)
	mux.HandleFunc("DELETE /components/{name}", s.handleStop)
	return http.Serve(listener, mux)
}

// reap collects every process that has ended. SIGCHLD is not queued, so one signal may stand for many.
func (s *supervisor) reap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		for _, process := range s.components {
			if process.status.Running && process.status.PID == pid {
				process.status.Running = false
				process.status.Exit = describe(status)
				close(process.done)
			}
		}
	}
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal: " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

func (s *supervisor) start(component Component) error {
	// The lock is held across the start, so that the reaper can't collect the process before it is known.
	s.mu.Lock()
	defer s.mu.Unlock()
	if existing := s.components[component.Name]; existing != nil && existing.status.Running {
		return fmt.Errorf("start %s: it is running already, stop it first", component.Name)
	}
	if len(component.Args) == 0 {
		return fmt.Errorf("start %s: no program given", component.Name)
	}
	log, err := os.OpenFile(component.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", component.Name, err)
	}
	defer log.Close()
	command := exec.Command(component.Args[0], component.Args[1:]...)
	command.Env = component.Env
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", component.Name, err)
	}
	s.components[component.Name] = &process{
		status: ComponentStatus{Name: component.Name, Running: true, PID: command.Process.Pid, Log: component.Log},
		done:   make(chan struct{}),
	}
	// The reaper waits for it, not os/exec.
	return command.Process.Release()
}

func (s *supervisor) stop(name string, grace time.Duration) error {
	s.mu.Lock()
	process := s.components[name]
	if process == nil || !process.status.Running {
		s.mu.Unlock()
		return nil
	}
	pid := process.status.PID
	if grace > 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
	s.mu.Unlock()
	if grace > 0 {
		select {
		case <-process.done:
			return nil
		case <-time.After(grace):
		}
	}
	s.mu.Lock()
	if process.status.Running {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	s.mu.Unlock()
	select {
	case <-process.done:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("stop %s: process %d is still there 10 s after SIGKILL", name, pid)
	}
}

func (s *supervisor) list() []ComponentStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]ComponentStatus, 0, len(s.components))
	for _, process := range s.components {
		list = append(list, process.status)
	}
	slices.SortFunc(list, func(a, b ComponentStatus) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (s *supervisor) handleList(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	// A client that went away needs no answer.
	_ = json.NewEncoder(w).Encode(s.list())
}

func (s *supervisor) handleStart(w http.ResponseWriter, r *http.Request) {
	var component Component
	if err := json.NewDecoder(r.Body).Decode(&component); err != nil {
		http.Error(w, "decode component: "+err.Error(), http.StatusBadRequest)
		return
	}
	component.Name = r.PathValue("name")
	if err := s.start(component); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

func (s *supervisor) handleStop(w http.ResponseWriter, r *http.Request) {
	var request stopRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, "decode stop request: "+err.Error(), http.StatusBadRequest)
		return
	}
	if err := s.stop(r.PathValue("name"), request.Grace); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
