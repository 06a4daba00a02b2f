// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"strings"
	"testing"
	"time"
)

// clickIcon finds the icon in the panel by its colour, clicks on it, and waits for the menu.
func clickIcon(t *testing.T, colour color.NRGBA) {
	t.Helper()
	var at image.Point
	eventually(t, "the icon in the panel", func() (err error) {
		at, err = middle(here.screenshot(t, ""), colour)
		return err
	})
	here.tell(t, "mousemove", fmt.Sprint(at.X), fmt.Sprint(at.Y), "click", "1")
	eventually(t, "the menu", func() error {
		if len(menuWindows()) == 0 {
			return errors.New("there is none")
		}
		return nil
	})
}

// middle finds the middle of the pixels of a colour in the panel.
func middle(picture image.Image, colour color.NRGBA) (image.Point, error) {
	var sum image.Point
	n := 0
	for y := range 26 {
		for x := range picture.Bounds().Dx() {
			r, g, b, _ := picture.At(x, y).RGBA()
			if near(r, colour.R) && near(g, colour.G) && near(b, colour.B) {
				sum, n = sum.Add(image.Pt(x, y)), n+1
			}
		}
	}
	if n < 10 {
		return image.Point{}, fmt.Errorf("%d pixels have its colour", n)
	}
	return sum.Div(n), nil
}

func near(have uint32, want uint8) bool {
	return max(have>>8, uint32(want))-min(have>>8, uint32(want)) < 16
}

// press presses keys in an open menu, each once the one before has moved the selection: a menu that just opened, or whose
// lines are still on their way, takes no keys.
func press(t *testing.T, keys ...string) {
	t.Helper()
	const lost = time.Second // a key that has done nothing by then won't
	for _, key := range keys {
		before := here.screen.selected()
		var pressed time.Time
		eventually(t, "the selection to move by "+key, func() error {
			if now := here.screen.selected(); !now.Empty() && now != before {
				return nil
			}
			if time.Since(pressed) > lost {
				here.tell(t, "key", key)
				pressed = time.Now()
			}
			return fmt.Errorf("it is still at %v", before)
		})
	}
}

// menuWindows finds the menus of the panel.
func menuWindows() []string {
	out, err := here.try("xdotool", "search", "--onlyvisible", "--class", "wrapper-2.0")
	if err != nil {
		return nil
	}
	return strings.Fields(out)
}
