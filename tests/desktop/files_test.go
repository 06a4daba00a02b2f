// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

// bundleContent is what the support bundle of the tests is; bytes that are no text survive, too.
const bundleContent = "PK\x05\x06\x00\xff\xfe bundle"

func (b *backend) SaveSettings(_ context.Context, s localapi.Settings) (localapi.Settings, error) {
	b.change(fmt.Sprintf("settings %q", s.Kubeconfigs), func(snapshot *localapi.Snapshot) { snapshot.Settings = s })
	return s, nil
}

func (b *backend) BundlePlan(context.Context, localapi.Target) (localapi.BundlePlan, error) {
	b.note("bundle plan")
	return localapi.BundlePlan{Name: "support.zip", Files: []localapi.BundleFile{{Name: "doctor.json", What: "what the doctor found", Bytes: 2, Preview: "{}"}}}, nil
}

func (b *backend) Bundle(context.Context, localapi.Target) (localapi.Bundle, error) {
	return localapi.Bundle{Name: "support.zip", Zip: []byte(bundleContent)}, nil
}

func (b *backend) Doctor(context.Context, localapi.Target) (localapi.Report, error) {
	b.note("doctor")
	return localapi.Report{}, nil
}

// Where the page has its buttons in a window of the size that shown gives it.
var (
	chooseButton = image.Pt(361, 204) // of the kubeconfig files, in the settings
	bundleButton = image.Pt(760, 48)  // of the doctor
	saveButton   = image.Pt(922, 461) // of the dialog that shows what is in the bundle
)

// TestFileDialogs chooses a kubeconfig and saves a support bundle, by the dialogs of the desktop.
func TestFileDialogs(t *testing.T) {
	b, _ := startDaemon(t, version)
	folder := t.TempDir()
	config := filepath.Join(folder, "cluster.yaml")
	must(t, os.WriteFile(config, []byte("kind: Config\n"), 0o600))

	w := startWindow(t, "fairlead://settings")
	b.watched(t, trayAndPage)
	w.clickAt(t, chooseButton)
	raise(t, "Choose kubeconfig files")
	here.screenshot(t, "choose-file")
	here.tell(t, "key", "Escape")
	dialogGone(t, "Choose kubeconfig files")
	w.clickAt(t, chooseButton)
	writePath(t, "Choose kubeconfig files", config)
	b.called(t, fmt.Sprintf("settings %q", []string{config})) // and not that of the one that was cancelled

	startWindow(t, "fairlead://doctor").ends(t)
	b.called(t, "doctor")
	w.clickAt(t, bundleButton)
	b.called(t, "bundle plan")
	w.clickAt(t, saveButton)
	raise(t, "Save the support bundle")
	here.screenshot(t, "save-file")
	file := filepath.Join(folder, "given.zip")
	writePath(t, "Save the support bundle", file)
	eventually(t, "the bundle", func() error {
		content, err := os.ReadFile(file)
		if err == nil && string(content) != bundleContent {
			err = fmt.Errorf("it has %q", content)
		}
		return err
	})
}

// clickAt clicks on a button of the page once there is one to be seen.
func (w *window) clickAt(t *testing.T, at image.Point) {
	t.Helper()
	id := w.seen(t)
	here.tell(t, "windowsize", "--sync", id, "1080", "760")
	here.tell(t, "mousemove", "--window", id, strconv.Itoa(at.X), strconv.Itoa(at.Y))
	var x, y int
	if _, err := fmt.Sscanf(here.tell(t, "getmouselocation"), "x:%d y:%d", &x, &y); err != nil {
		t.Fatal("where is the mouse:", err)
	}
	const letters = 20 // pixels; a word has more
	word := image.Rect(x-30, y-8, x+30, y+8)
	eventually(t, fmt.Sprintf("a button at %v", at), func() error {
		dark, bright := here.screen.count(word)
		white := bright >= letters && bright < word.Dx()*word.Dy()/2 // on a colour: one that can be clicked
		if dark < letters && !white {
			return fmt.Errorf("%d dark pixels are there, and %d bright ones", dark, bright)
		}
		return nil
	})
	here.tell(t, "click", "1")
}

// dialog finds a window of the desktop by its title.
func dialog(title string) string {
	out, err := here.try("xdotool", "search", "--onlyvisible", "--name", "^"+title+"$")
	if err != nil {
		return ""
	}
	id, _, _ := strings.Cut(out, "\n")
	return id
}

// raise waits for a dialog, and gives it the keys.
func raise(t *testing.T, title string) {
	t.Helper()
	eventually(t, "the dialog "+title, func() error {
		id := dialog(title)
		if id == "" {
			return errors.New("there is none")
		}
		here.tell(t, "windowactivate", "--sync", id)
		return nil
	})
}

// writePath answers a dialog for files as people do who know the path.
func writePath(t *testing.T, title, path string) {
	t.Helper()
	raise(t, title)
	here.tell(t, "key", "ctrl+a")
	here.tell(t, "type", path)
	here.tell(t, "key", "Return")
	dialogGone(t, title)
}

func dialogGone(t *testing.T, title string) {
	t.Helper()
	eventually(t, "the end of the dialog "+title, func() error {
		if dialog(title) != "" {
			return errors.New("it is there")
		}
		return nil
	})
}
