// SPDX-License-Identifier: Apache-2.0

package packages

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// output runs a program on the machine, which must succeed.
func output(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// TestContents looks for what a package must have, in both formats.
func TestContents(t *testing.T) {
	both := map[string][]string{
		"fairlead": {
			"/usr/bin/fairlead", "/usr/sbin/fairlead-helper", "/lib/systemd/system/fairlead-helper.service",
			"/usr/share/man/man1/fairlead.1.gz", "/usr/share/man/man1/fairlead-connect.1.gz", "/usr/share/man/man8/fairlead-helper.8.gz",
			"/usr/share/bash-completion/completions/fairlead", "/_fairlead", "/usr/share/fish/vendor_completions.d/fairlead.fish",
			"/usr/share/doc/fairlead/README.md", "/usr/share/doc/fairlead/security.md", "/usr/share/doc/fairlead/third-party-licenses.txt.gz",
		},
		"fairlead-desktop": {
			"/usr/bin/fairlead-desktop", "/usr/share/applications/fairlead.desktop", "/usr/share/metainfo/dev.fairlead.Fairlead.metainfo.xml",
			"/usr/share/icons/hicolor/scalable/apps/fairlead.svg", "/usr/share/icons/hicolor/16x16/apps/fairlead.png",
			"/usr/share/icons/hicolor/256x256/apps/fairlead.png", "/usr/share/man/man1/fairlead-desktop.1.gz",
		},
	}
	for name, files := range both {
		inDeb, inRPM := output(t, "dpkg-deb", "--contents", deb(name)), output(t, "rpm", "-qpl", rpm(name))
		for _, file := range files {
			for format, list := range map[string]string{"deb": inDeb, "rpm": inRPM} {
				if !strings.Contains(list, file+"\n") {
					t.Errorf("the %s of %s lacks %s", format, name, file)
				}
			}
		}
	}
}

// TestFilesAreWellFormed has the tools that read them check the unit, the menu entry and the scripts.
func TestFilesAreWellFormed(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"fairlead", "fairlead-desktop"} {
		output(t, "dpkg-deb", "--raw-extract", deb(name), filepath.Join(folder, name))
	}
	scripts, err := filepath.Glob(filepath.Join(folder, "*", "DEBIAN", "p*"))
	if err != nil || len(scripts) != 5 {
		t.Errorf("scripts: %v, %v", scripts, err)
	}
	for _, script := range scripts {
		output(t, "dash", "-n", script)
	}
	output(t, "desktop-file-validate", filepath.Join(folder, "fairlead-desktop/usr/share/applications/fairlead.desktop"))
	metainfo, err := os.ReadFile(filepath.Join(folder, "fairlead-desktop/usr/share/metainfo/dev.fairlead.Fairlead.metainfo.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var component struct {
		Releases []struct {
			Version string `xml:"version,attr"`
			Date    string `xml:"date,attr"`
		} `xml:"releases>release"`
	}
	if err := xml.Unmarshal(metainfo, &component); err != nil || len(component.Releases) != 1 || component.Releases[0].Version != version {
		t.Errorf("metainfo: %+v, %v", component, err)
	}
	text := output(t, "rpm", "-qp", "--scripts", rpm("fairlead"))
	for _, heading := range []string{"preinstall scriptlet", "postinstall scriptlet", "preuninstall scriptlet", "postuninstall scriptlet"} {
		if !strings.Contains(text, heading) {
			t.Errorf("the rpm has no %s", heading)
		}
	}
	if files := output(t, "sh", "-c", "rpm2cpio "+rpm("fairlead")+" | cpio --list --quiet"); !strings.Contains(files, "/usr/bin/fairlead\n") {
		t.Errorf("what rpm2cpio unpacks lacks the program:\n%s", files)
	}
}

// TestLicensesAreComplete looks for some of the most used modules, and that nothing is listed without text.
func TestLicensesAreComplete(t *testing.T) {
	text := output(t, "sh", "-c", "dpkg-deb --fsys-tarfile "+deb("fairlead")+" | tar -xO ./usr/share/doc/fairlead/third-party-licenses.txt.gz | gzip -d")
	for _, want := range []string{"The Go programming language", "golang.zx2c4.com/wireguard v", "k8s.io/client-go v", "helm.sh/helm/v4 v", "svelte 5", "github.com/wailsapp/wails/v2 v"} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no licence of %s", want)
		}
	}
}
