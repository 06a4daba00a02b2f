// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// loadPlace returns what was saved; the zero Place if that is nothing, or makes no sense.
func loadPlace(file string) Place {
	var p Place
	content, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(content, &p) != nil {
		return Place{}
	}
	return p
}

// save writes the place so that a crash leaves the old or the new one.
func (p Place) save(file string) error {
	content, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode the window's place: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("make a folder for the window's place: %w", err)
	}
	if err := os.WriteFile(file+".new", content, 0o600); err != nil {
		return fmt.Errorf("save the window's place: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("save the window's place: %w", err)
	}
	return nil
}
