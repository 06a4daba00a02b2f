// SPDX-License-Identifier: Apache-2.0

package packages

import (
	"archive/zip"
	"bytes"
	"debug/pe"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// setup is the installer; this checkout has no driver of the tunnel to put into it.
func setup() string {
	return filepath.Join(dist, "fairlead-"+version+"-windows-amd64-setup-without-wintun.exe")
}

// installed are the files that the installer leaves in its folder, in this build.
var installed = []string{"fairlead-desktop.exe", "fairlead-helper.exe", "fairlead.exe", "license.txt", "third-party-licenses.txt"}

// TestTheInstallerHasItsFiles unpacks the installer and looks at the programs' headers and resources.
func TestTheInstallerHasItsFiles(t *testing.T) {
	folder := t.TempDir()
	if listed := output(t, "7zz", "l", setup()); !strings.Contains(listed, "Type = Nsis\n") || !strings.Contains(listed, "uninstall.exe") {
		t.Errorf("not an installer with an uninstaller:\n%s", listed)
	}
	output(t, "7zz", "x", "-y", "-o"+folder, setup())
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if entry.Name() != "$PLUGINSDIR" && entry.Name() != "uninstall.exe" {
			names = append(names, entry.Name())
		}
	}
	if !slices.Equal(names, installed) {
		t.Errorf("it installs %v, not %v", names, installed)
	}
	for program, subsystem := range map[string]uint16{
		"fairlead":         pe.IMAGE_SUBSYSTEM_WINDOWS_CUI,
		"fairlead-helper":  pe.IMAGE_SUBSYSTEM_WINDOWS_CUI,
		"fairlead-desktop": pe.IMAGE_SUBSYSTEM_WINDOWS_GUI,
	} {
		checkProgram(t, filepath.Join(folder, program+".exe"), program, subsystem)
	}
	licenses, err := os.ReadFile(filepath.Join(folder, "third-party-licenses.txt"))
	for _, want := range []string{"golang.zx2c4.com/wintun v", "github.com/wailsapp/go-webview2 v", "github.com/Microsoft/go-winio v"} {
		if err != nil || !bytes.Contains(licenses, []byte("\r\n"+want)) {
			t.Errorf("no licence of %s: %v", want, err)
		}
	}
}

// checkProgram looks for what Windows goes by: the header, and the resources with the version, the manifest and the icon.
func checkProgram(t *testing.T, path, program string, subsystem uint16) {
	t.Helper()
	file, err := pe.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	header, ok := file.OptionalHeader.(*pe.OptionalHeader64)
	if !ok || file.Machine != pe.IMAGE_FILE_MACHINE_AMD64 || header.Subsystem != subsystem {
		t.Errorf("%s: machine %#x, header %+v", program, file.Machine, file.OptionalHeader)
	}
	section := file.Section(".rsrc")
	if section == nil {
		t.Fatalf("%s has no resources", program)
	}
	resources, err := section.Data()
	if err != nil {
		t.Fatal(err)
	}
	wide := func(text string) []byte { // as strings of a version resource are
		var encoded []byte
		for _, unit := range utf16.Encode([]rune(text)) {
			encoded = append(encoded, byte(unit), byte(unit>>8))
		}
		return encoded
	}
	for name, want := range map[string][]byte{
		"file name":        wide("\x00" + program + ".exe\x00"),
		"version":          wide(version + "\x00"),
		"rights":           []byte(`level="asInvoker"`),
		"sharp on screens": []byte("permonitorv2"),
		"icon":             {0x89, 'P', 'N', 'G'}, // the largest one
	} {
		if !bytes.Contains(resources, want) && !bytes.Contains(bytes.ToLower(resources), want) {
			t.Errorf("%s: its resources lack the %s", program, name)
		}
	}
}

// script is the installer's, by section: what is done when it is installed, and when it is removed.
func script(t *testing.T) (install, uninstall string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "build/packages/windows/fairlead.nsi"))
	if err != nil {
		t.Fatal(err)
	}
	defines := regexp.MustCompile(`(?m)^!define (\w+) "(.*)"$`).FindAllStringSubmatch(string(text), -1)
	whole := string(text)
	for _, define := range defines {
		whole = strings.ReplaceAll(whole, "${"+define[1]+"}", define[2])
	}
	sections := regexp.MustCompile(`(?ms)^Section( Uninstall)?\n(.*?)^SectionEnd`).FindAllStringSubmatch(whole, -1)
	if len(sections) != 2 || sections[1][1] == "" {
		t.Fatalf("the script has %d sections", len(sections))
	}
	return sections[0][2], sections[1][2]
}

// TestWhatIsInstalledIsRemoved holds the two halves of the installer's script together.
func TestWhatIsInstalledIsRemoved(t *testing.T) {
	install, uninstall := script(t)
	var made, removed []string
	for _, found := range regexp.MustCompile(`(?m)^\s*File (\S+)$`).FindAllStringSubmatch(install, -1) {
		made = append(made, `$INSTDIR\`+found[1])
	}
	for _, found := range regexp.MustCompile(`(?m)^\s*(?:WriteUninstaller|CreateShortcut) "([^"]+)"`).FindAllStringSubmatch(install, -1) {
		made = append(made, found[1])
	}
	for _, found := range regexp.MustCompile(`(?m)^\s*WriteReg\w+ (HK\w+) "([^"]+)"`).FindAllStringSubmatch(install, -1) {
		made = append(made, found[1]+`\`+found[2])
	}
	for _, found := range regexp.MustCompile(`(?m)^\s*(?:Delete|RMDir) "([^"]+)"`).FindAllStringSubmatch(uninstall, -1) {
		removed = append(removed, found[1])
	}
	for _, found := range regexp.MustCompile(`(?m)^\s*DeleteRegKey (HK\w+) "([^"]+)"`).FindAllStringSubmatch(uninstall, -1) {
		removed = append(removed, found[1]+`\`+found[2])
	}
	if len(made) < 20 {
		t.Errorf("only %d things are made: %q", len(made), made)
	}
	for _, one := range append(made, `$INSTDIR`, `$INSTDIR\wintun.dll`) {
		if !slices.ContainsFunc(removed, func(key string) bool {
			return one == key || strings.HasPrefix(one, "HK") && strings.HasPrefix(one, key+`\`)
		}) {
			t.Errorf("%s is made, and not removed", one)
		}
	}
	for _, file := range installed {
		if !slices.Contains(made, `$INSTDIR\`+file) {
			t.Errorf("the script does not install %s", file)
		}
	}
	// The service, the PATH and who may connect are made and removed by the helper, in this order.
	for section, want := range map[string]string{install: `"$INSTDIR\fairlead-helper.exe" install --path`, uninstall: `"$INSTDIR\fairlead-helper.exe" uninstall`} {
		if !strings.Contains(section, want) {
			t.Errorf("the script does not call %s", want)
		}
	}
	if strings.Index(uninstall, "fairlead-helper.exe\" uninstall") > strings.Index(uninstall, `Delete "$INSTDIR\fairlead-helper.exe"`) {
		t.Error("the helper's file is removed before its service")
	}
}

// TestTheDriverIsTheOneOfItsMakers gives the build an archive with a driver, once with its sum and once with another.
func TestTheDriverIsTheOneOfItsMakers(t *testing.T) {
	var archive bytes.Buffer
	writer := zip.NewWriter(&archive)
	for name, content := range map[string]string{"wintun/bin/amd64/wintun.dll": "driver", "wintun/bin/arm64/wintun.dll": "other", "wintun/LICENSE.txt": "licence"} {
		entry, err := writer.Create(name)
		if err == nil {
			_, err = entry.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	path := filepath.Join(folder, "wintun-0.14.1.zip")
	if err := os.WriteFile(path, archive.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	call := func(sum string) (string, error) {
		command := exec.Command("bash", "-euc", `. build/packages/windows.sh; wintun_from "$1" "`+sum+`" "$2"`, "test", path, folder)
		command.Dir = root(t)
		out, err := command.CombinedOutput()
		return string(out), err
	}
	if out, err := call("$wintun_sha256"); err == nil || !strings.Contains(out, "is not wintun-0.14.1.zip of wintun.net") {
		t.Errorf("another archive is taken: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(folder, "wintun.dll")); err == nil {
		t.Error("the driver of another archive was unpacked")
	}
	if out, err := call(`$(sha256sum <"$1" | cut -d" " -f1)`); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for name, want := range map[string]string{"wintun.dll": "driver", "wintun-license.txt": "licence"} {
		if content, err := os.ReadFile(filepath.Join(folder, name)); err != nil || string(content) != want {
			t.Errorf("%s: %q, %v", name, content, err)
		}
	}
}
