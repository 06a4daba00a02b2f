// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
)

// Sizes of the window in logical pixels.
const (
	defaultWidth, defaultHeight = 1080, 760
	minWidth, minHeight         = 380, 420
)

// Size is that of a screen or a window, in logical pixels.
type Size struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

// Place is where the window was, and how large.
type Place struct {
	X int `json:"x"`
	Y int `json:"y"`
	Size
	Maximised bool `json:"maximised,omitempty"`
	// Screens are those that there were then: the place means nothing with others.
	Screens []Size `json:"screens,omitempty"`
}

// Fit says how the window opens: its size, bounded by the screens that there are, and whether it goes where it was. It
// does not if the screens are others than then, since the one that it was on may be gone; then it is centred.
func (p Place) Fit(screens []Size) (size Size, remembered bool) {
	size = Size{max(p.Width, minWidth), max(p.Height, minHeight)}
	if p.Width == 0 || p.Height == 0 {
		size = Size{defaultWidth, defaultHeight}
	}
	var all, largest Size
	for _, s := range screens {
		all.Width, all.Height = all.Width+s.Width, all.Height+s.Height
		if s.Width*s.Height > largest.Width*largest.Height {
			largest = s
		}
	}
	if len(screens) > 0 {
		size.Width, size.Height = min(size.Width, largest.Width), min(size.Height, largest.Height)
	}
	const visible = 64 // pixels of the title bar to take the window by
	inside := p.X > -p.Width+visible && p.Y >= 0 && p.X < all.Width-visible && p.Y < all.Height-visible
	return size, p.Width > 0 && inside && slices.Equal(p.Screens, screens)
}

// placeFile is where the place is kept between starts.
func placeFile() (string, error) {
	if state := os.Getenv("XDG_STATE_HOME"); runtime.GOOS == "linux" && filepath.IsAbs(state) {
		return filepath.Join(state, "fairlead", "window.json"), nil
	}
	if runtime.GOOS == "linux" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find a folder for the window's place: %w", err)
		}
		return filepath.Join(home, ".local", "state", "fairlead", "window.json"), nil
	}
	config, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for the window's place: %w", err)
	}
	return filepath.Join(config, "Fairlead", "window.json"), nil
}

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
