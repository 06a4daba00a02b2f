// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
)

// maxLog is the size in bytes at which the log file is put aside; one older file is kept.
const maxLog = 5 << 20

// LogFile returns where the daemon of this user logs: FAIRLEAD_DAEMON_LOG, else where the system keeps such files.
func LogFile() (string, error) {
	if path := os.Getenv("FAIRLEAD_DAEMON_LOG"); path != "" {
		return filepath.Abs(path)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for the daemon's log: %w", err)
	}
	switch runtime.GOOS {
	case "darwin":
		return filepath.Join(home, "Library", "Logs", "Fairlead", "daemon.log"), nil
	case "windows":
		folder, err := os.UserCacheDir() // %LocalAppData%
		if err != nil {
			return "", fmt.Errorf("find a folder for the daemon's log: %w", err)
		}
		return filepath.Join(folder, "Fairlead", "daemon.log"), nil
	}
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "fairlead", "daemon.log"), nil
	}
	return filepath.Join(home, ".local", "state", "fairlead", "daemon.log"), nil
}

// OpenLog opens the log file and makes it where a crash of this process is described. FAIRLEAD_LOG=debug makes it say
// more. Close the closer at the end.
func OpenLog(path string) (*slog.Logger, io.Closer, error) {
	file, err := openRotating(path, maxLog)
	if err != nil {
		return nil, nil, err
	}
	if err := debug.SetCrashOutput(file.file, debug.CrashOptions{}); err != nil {
		file.Close()
		return nil, nil, fmt.Errorf("direct crash reports to the log: %w", err)
	}
	level := slog.LevelInfo
	if text := os.Getenv("FAIRLEAD_LOG"); text != "" {
		_ = level.UnmarshalText([]byte(text)) // an unknown level leaves the default
	}
	return slog.New(slog.NewTextHandler(file, &slog.HandlerOptions{Level: level})), file, nil
}

// rotating is a file that is renamed to NAME.1, over the one before, when it has grown to a limit.
type rotating struct {
	mu    sync.Mutex
	path  string
	limit int64
	file  *os.File
	size  int64
}

func openRotating(path string, limit int64) (*rotating, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make folder for the daemon's log: %w", err)
	}
	r := &rotating{path: path, limit: limit}
	return r, r.open()
}

func (r *rotating) open() error {
	file, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the daemon's log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return fmt.Errorf("look at the daemon's log: %w", err)
	}
	r.file, r.size = file, info.Size()
	return nil
}

// Write appends p; it puts the file aside first if p would not fit.
func (r *rotating) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size > 0 && r.size+int64(len(p)) > r.limit {
		r.rotate()
	}
	n, err := r.file.Write(p)
	r.size += int64(n)
	return n, err
}

// rotate puts the file aside. Where that fails it goes on with the one that it has: a log must not stop the daemon.
func (r *rotating) rotate() {
	old := r.file
	if runtime.GOOS == "windows" {
		old.Close() // Windows renames no open files
	}
	_ = os.Rename(r.path, r.path+".1")
	if err := r.open(); err != nil {
		return
	}
	if runtime.GOOS != "windows" {
		old.Close()
	}
	_ = debug.SetCrashOutput(r.file, debug.CrashOptions{})
}

// Close closes the file.
func (r *rotating) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.file.Close()
}
