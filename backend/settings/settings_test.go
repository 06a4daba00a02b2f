// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

func TestStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "settings.json")
	s := NewStore(file)
	if got, err := s.Get(); err != nil || !reflect.DeepEqual(got, Settings{}) {
		t.Fatalf("without a file: %+v, %v", got, err)
	}
	wanted := Settings{Carrier: "relay", Exclude: []string{"10.0.0.0/8", "::1"}, Theme: ThemeDark, Kubeconfigs: []string{"/k"}, Autostart: true}
	if err := s.Save(wanted); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get()
	if err != nil || !reflect.DeepEqual(got, wanted) {
		t.Errorf("got %+v, %v", got, err)
	}
	got.Exclude[0] = "changed" // a copy
	if again, _ := NewStore(file).Get(); !reflect.DeepEqual(again, wanted) {
		t.Errorf("the next life reads %+v", again)
	}
	if again, _ := s.Get(); !reflect.DeepEqual(again, wanted) {
		t.Errorf("somebody else's change is seen: %+v", again)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".settings-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := s.Save(Settings{Carrier: "pigeon"}); !errors.Is(err, problem.New(problem.Usage, "", "")) {
		t.Errorf("saved nonsense: %v", err)
	}
	if again, _ := s.Get(); !reflect.DeepEqual(again, wanted) {
		t.Errorf("nonsense has changed them: %+v", again)
	}
}

func TestABrokenFileIsNamedAndLeftAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.json")
	for _, text := range []string{"", "{", `{"carrier": "pigeon"}`, `{"colour": "blue"}`, `{} {}`, `[]`, `{"theme": 1}`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := NewStore(file)
		got, err := s.Get()
		if p := problem.From(err); p == nil || !strings.Contains(p.Message, file) || p.Hint == "" || !reflect.DeepEqual(got, Settings{}) {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
		if now, _ := os.ReadFile(file); string(now) != text {
			t.Errorf("%q: the file is %q now", text, now)
		}
		if err := s.Save(Settings{Carrier: "udp"}); err != nil {
			t.Errorf("%q: save: %v", text, err)
		}
		if got, err := s.Get(); err != nil || got.Carrier != "udp" {
			t.Errorf("%q: after saving: %+v, %v", text, got, err)
		}
	}
}

func TestAnEditedFileIsReadAnew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.json")
	s := NewStore(file)
	if _, err := s.Get(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(`{"carrier": "udp"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(); err != nil || got.Carrier != "udp" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestALinkStays(t *testing.T) {
	folder := t.TempDir()
	real, file := filepath.Join(folder, "dotfiles.json"), filepath.Join(folder, "settings.json")
	if err := os.WriteFile(real, []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, file); err != nil {
		t.Fatal(err)
	}
	if err := NewStore(file).Save(Settings{Quiet: true}); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(file); err != nil || target != real {
		t.Errorf("the link is %q, %v", target, err)
	}
	if got, err := NewStore(real).Get(); err != nil || !got.Quiet {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCheck(t *testing.T) {
	for name, test := range map[string]struct {
		settings Settings
		want     string // part of the message; empty is that all is well
	}{
		"nothing":            {Settings{}, ""},
		"everything":         {Settings{Kubeconfigs: []string{"/a"}, Carrier: "auto", Include: []string{"10.1.2.3"}, Exclude: []string{"fd00::/8"}, GatewayNamespace: "fl", Theme: ThemeLight, Terminal: "xterm", ConnectAtStart: "arn:aws:eks/x"}, ""},
		"relative file":      {Settings{Kubeconfigs: []string{"a"}}, "full path"},
		"theme":              {Settings{Theme: "blue"}, "theme"},
		"namespace":          {Settings{GatewayNamespace: "A_b"}, "gatewayNamespace"},
		"not a range":        {Settings{Include: []string{"10.1"}}, "include"},
		"bits set":           {Settings{Exclude: []string{"10.1.2.3/8"}}, "bits set"},
		"many":               {Settings{Include: make([]string, 65)}, "too many"},
		"domains":            {Settings{DNSDomains: []string{"db.example.com"}, DNSExclude: []string{"web.dev", "printer"}}, ""},
		"top-level domain":   {Settings{DNSDomains: []string{"com"}}, "dnsDomains: \"com\""},
		"not a name":         {Settings{DNSExclude: []string{"a b"}}, "dnsExclude: \"a b\""},
		"what can't be seen": {Settings{Terminal: "x\ny"}, "terminal"},
	} {
		err := test.settings.Check()
		if p := problem.From(err); (p == nil) != (test.want == "") || p != nil && (!strings.Contains(p.Message, test.want) || p.Hint == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEverySettingHasAKey(t *testing.T) {
	names := map[string]bool{}
	for _, key := range Keys() {
		names[key.Name] = true
	}
	kind := reflect.TypeFor[Settings]()
	for i := range kind.NumField() {
		name, _, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ",")
		if !names[name] {
			t.Errorf("%s can't be set by name", name)
		}
		delete(names, name)
	}
	if len(names) > 0 {
		t.Errorf("keys without a setting: %v", names)
	}
}

func TestSet(t *testing.T) {
	values := map[string]string{
		"kubeconfigs": "/a, /b", "carrier": "udp", "include": "10.1.2.3", "exclude": "10.0.0.0/8", "dnsDomains": "a.example.com,b.example.com", "dnsExclude": "web.dev", "mapConflicts": "true", "gatewayNamespace": "fl",
		"autostart": "1", "connectAtStart": "dev", "theme": "dark", "quiet": "true", "terminal": "xterm",
	}
	for _, key := range Keys() {
		changed, err := Set(Settings{}, key.Name, values[key.Name])
		if err != nil || key.Value(changed) == "" || key.Says == "" || key.What == "" {
			t.Errorf("%s: %+v, %v", key.Name, changed, err)
		}
		if back, err := Set(changed, key.Name, ""); err != nil || key.Value(back) != "" {
			t.Errorf("%s: back to the default: %+v, %v", key.Name, back, err)
		}
	}
	if _, err := Set(Settings{}, "colour", "blue"); !errors.Is(err, problem.New(problem.Usage, "", "")) {
		t.Errorf("got %v", err)
	}
}

func TestDefaultFile(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	t.Setenv("XDG_CONFIG_HOME", "")
	if file, err := DefaultFile(); err != nil || file != "/home/me/.config/fairlead/settings.json" {
		t.Errorf("got %s, %v", file, err)
	}
	t.Setenv("XDG_CONFIG_HOME", "/conf")
	if file, err := DefaultFile(); err != nil || file != "/conf/fairlead/settings.json" {
		t.Errorf("got %s, %v", file, err)
	}
	t.Setenv("XDG_CONFIG_HOME", "relative") // to be ignored (XDG Base Directory Specification)
	if file, err := DefaultFile(); err != nil || file != "/home/me/.config/fairlead/settings.json" {
		t.Errorf("got %s, %v", file, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"carrier": "udp", "exclude": ["10.0.0.0/8"]}`))
	f.Add([]byte(`{"theme": "dark"} x`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := Parse(data); err == nil && s.Check() != nil {
			t.Errorf("%q is taken, though Check refuses it", data)
		}
	})
}
