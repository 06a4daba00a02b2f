// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestFit(t *testing.T) {
	full, small := Size{1920, 1080}, Size{1280, 720}
	was := Place{X: 100, Y: 50, Size: Size{1000, 700}, Screens: []Size{full}}
	on := func(p Place, screens ...Size) Place { p.Screens = screens; return p }
	at := func(p Place, x, y int) Place { p.X, p.Y = x, y; return p }
	for _, test := range []struct {
		name       string
		place      Place
		screens    []Size
		size       Size
		remembered bool
	}{
		{"nothing is known", Place{}, nil, Size{defaultWidth, defaultHeight}, false},
		{"a first start", Place{}, []Size{full}, Size{defaultWidth, defaultHeight}, false},
		{"a first start on a small screen", Place{}, []Size{{800, 600}}, Size{800, 600}, false},
		{"as it was", was, []Size{full}, Size{1000, 700}, true},
		{"the screen is gone", on(at(was, 2000, 50), full, full), []Size{full}, Size{1000, 700}, false},
		{"on the second screen", on(at(was, 2000, 50), full, full), []Size{full, full}, Size{1000, 700}, true},
		{"the screen is smaller", Place{Size: Size{1900, 1000}, Screens: []Size{full}}, []Size{small}, small, false},
		{"out to the right", at(was, 1900, 50), []Size{full}, Size{1000, 700}, false},
		{"out to the left", at(was, -990, 50), []Size{full}, Size{1000, 700}, false},
		{"half out to the left", at(was, -500, 50), []Size{full}, Size{1000, 700}, true},
		{"its title is above the screen", at(was, 100, -20), []Size{full}, Size{1000, 700}, false},
		{"rubbish", Place{Size: Size{-5, 3}}, []Size{full}, Size{minWidth, minHeight}, false},
	} {
		if size, remembered := test.place.Fit(test.screens); size != test.size || remembered != test.remembered {
			t.Errorf("%s: %v, %v; want %v, %v", test.name, size, remembered, test.size, test.remembered)
		}
	}
}

func TestPlaceIsKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "window.json")
	if got := loadPlace(file); !reflect.DeepEqual(got, Place{}) {
		t.Errorf("from nothing: %+v", got)
	}
	want := Place{X: -4, Y: 7, Size: Size{900, 600}, Maximised: true, Screens: []Size{{1920, 1080}}}
	if err := want.save(file); err != nil {
		t.Fatal(err)
	}
	if got := loadPlace(file); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := loadPlace(file); !reflect.DeepEqual(got, Place{}) {
		t.Errorf("from rubbish: %+v", got)
	}
}

func TestLoopbackNeedsNoProxy(t *testing.T) {
	for _, test := range []struct{ list, want string }{
		{"", "127.0.0.1,localhost"},
		{"*", "*"},
		{" corp.example , localhost", "corp.example,localhost,127.0.0.1"},
		{"127.0.0.1,localhost", "127.0.0.1,localhost"},
	} {
		if got := withLoopback(test.list); got != test.want {
			t.Errorf("%q: %q, want %q", test.list, got, test.want)
		}
	}
	t.Setenv("no_proxy", "")
	t.Setenv("NO_PROXY", "corp.example")
	t.Setenv("WEBKIT_DISABLE_DMABUF_RENDERER", "0")
	if err := PrepareEnvironment(); err != nil {
		t.Fatal(err)
	}
	if got := os.Getenv("no_proxy"); got != "corp.example,127.0.0.1,localhost" {
		t.Errorf("no_proxy is %q", got)
	}
	if got := os.Getenv("WEBKIT_DISABLE_DMABUF_RENDERER"); got != "0" {
		t.Errorf("what the user has set became %q", got)
	}
}
