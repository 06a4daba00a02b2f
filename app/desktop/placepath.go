// SPDX-License-Identifier: Apache-2.0

//go:build desktop

package desktop

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

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
