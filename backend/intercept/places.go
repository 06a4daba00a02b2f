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

	"github.com/fairlead-dev/fairlead/backend/session"
)

// places remembers in which namespaces this laptop has had intercepts, for users who may not look in all: a daemon that
// was killed leaves objects behind that the next one has to find. The zero value is ready to use.
type places struct {
	mu     sync.Mutex
	folder string // for tests; empty is the user's state folder
}

// mostPlaces bounds the namespaces that are remembered of one cluster.
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
	return filepath.Join(folder, "intercepted-namespaces.json"), nil
}

// read returns what is remembered; nothing where that can't be read.
func (p *places) read() map[string][]string {
	known := map[string][]string{}
	if file, err := p.file(); err == nil {
		if data, err := os.ReadFile(file); err == nil {
			_ = json.Unmarshal(data, &known)
		}
	}
	return known
}

func (p *places) get(t session.Tunnel) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read()[placeKey(t)]
}

// add remembers a namespace.
func (p *places) add(t session.Tunnel, namespace string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.read()
	key := placeKey(t)
	if slices.Contains(known[key], namespace) {
		return nil
	}
	known[key] = append(known[key], namespace)
	if extra := len(known[key]) - mostPlaces; extra > 0 {
		known[key] = known[key][extra:]
	}
	data, err := json.Marshal(known)
	if err != nil {
		return fmt.Errorf("encode namespaces: %w", err)
	}
	file, err := p.file()
	if err != nil {
		return err
	}
	return replaceFile(file, data)
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
