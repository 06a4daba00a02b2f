// SPDX-License-Identifier: Apache-2.0

//go:build desktop

package desktop

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/wailsapp/wails/v2/pkg/runtime"
)

// pageOrigins are those whose pages may ask the window for a dialog: the daemon's, at whatever port it has.
const pageOrigins = "http://127.0.0.1:*"

// serveFiles shows the page's dialogs until the window ends, one at a time: the toolkit keeps one answer.
func serveFiles(ctx context.Context, log *slog.Logger) {
	var one sync.Mutex
	runtime.EventsOn(ctx, filesEvent, func(data ...any) {
		request, err := parseFileRequest(data)
		if err != nil {
			log.Warn("the page asks for what the window does not understand", "error", err)
			return
		}
		one.Lock()
		defer one.Unlock()
		runtime.WindowExecJS(ctx, request.perform(toolkitDialogs{ctx}).script())
	})
}

// toolkitDialogs are those of the window toolkit, which are the desktop's.
type toolkitDialogs struct{ ctx context.Context }

func (d toolkitDialogs) choose(title string) ([]string, error) {
	return runtime.OpenMultipleFilesDialog(d.ctx, runtime.OpenDialogOptions{Title: title, DefaultDirectory: folder(".kube"), ShowHiddenFiles: true})
}

func (d toolkitDialogs) save(title, name string) (string, error) {
	return runtime.SaveFileDialog(d.ctx, runtime.SaveDialogOptions{Title: title, DefaultFilename: name, DefaultDirectory: folder("Downloads"), CanCreateDirectories: true})
}

// folder is one of the user's home, or the home where there is no such folder.
func folder(name string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	if info, err := os.Stat(filepath.Join(home, name)); err == nil && info.IsDir() {
		return filepath.Join(home, name)
	}
	return home
}
