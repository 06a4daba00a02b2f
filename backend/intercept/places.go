// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// places remembers on this laptop which intercepts it has made, for a daemon that follows one that was killed. It says in
// which namespaces to look, for users who may not look in all; and what may be taken up again: an object says where on this
// laptop traffic goes, so that only what this laptop has said itself is believed. The zero value is ready to use.
type places struct {
	mu     sync.Mutex
	folder string // for tests; empty is the user's state folder
}

// place is what is remembered of one Connection.
type place struct {
	Namespaces []string `json:"namespaces"`
	// Made are the local addresses of intercepts by their UID, as their annotation has them.
	Made map[string]string `json:"made"`
}

// mostPlaces bounds the namespaces that are remembered of one Connection.
const mostPlaces = 64

func placeKey(t session.Tunnel) string {
	return t.Access.Server() + " " + t.GatewayNamespace + "/" + t.Connection
}

func (p *places) file() (string, error) {
	folder := p.folder
	if folder == "" {
		var err error
		if folder, err = session.StateFolder(); err != nil {
			return "", err
		}
	}
	return filepath.Join(folder, "intercepts.json"), nil
}

// read returns what is remembered; nothing where that can't be read.
func (p *places) read() map[string]place {
	known := map[string]place{}
	if file, err := p.file(); err == nil {
		if data, err := os.ReadFile(file); err == nil {
			_ = json.Unmarshal(data, &known)
		}
	}
	return known
}

func (p *places) get(t session.Tunnel) place {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read()[placeKey(t)]
}

// change changes what is remembered of a Connection.
func (p *places) change(t session.Tunnel, do func(*place)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.read()
	key := placeKey(t)
	here := known[key]
	if here.Made == nil {
		here.Made = map[string]string{}
	}
	do(&here)
	known[key] = here
	data, err := json.Marshal(known)
	if err != nil {
		return fmt.Errorf("encode intercepts: %w", err)
	}
	file, err := p.file()
	if err != nil {
		return err
	}
	return replaceFile(file, data)
}

// look remembers a namespace to look in.
func (p *places) look(t session.Tunnel, namespace string) error {
	if slices.Contains(p.get(t).Namespaces, namespace) {
		return nil
	}
	return p.change(t, func(here *place) {
		here.Namespaces = append(here.Namespaces, namespace)
		here.Namespaces = here.Namespaces[max(0, len(here.Namespaces)-mostPlaces):]
	})
}

// made remembers an intercept, and forget forgets it.
func (p *places) made(t session.Tunnel, o *v1alpha1.Intercept) error {
	return p.change(t, func(here *place) { here.Made[string(o.UID)] = o.Annotations[localAnnotation] })
}

func (p *places) forget(t session.Tunnel, id string) error {
	return p.change(t, func(here *place) { delete(here.Made, id) })
}

// replaceFile writes a file that only the user can read, so that it is there whole or as it was.
func replaceFile(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	draft, err := os.CreateTemp(filepath.Dir(file), ".draft-*")
	if err != nil {
		return fmt.Errorf("make file: %w", err)
	}
	_, err = draft.Write(data)
	if err = errors.Join(err, draft.Close()); err == nil {
		err = os.Rename(draft.Name(), file)
	}
	if err != nil {
		if removed := os.Remove(draft.Name()); removed != nil && !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
