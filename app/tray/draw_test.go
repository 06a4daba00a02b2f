// SPDX-License-Identifier: Apache-2.0

package tray

import (
	"bytes"
	"image"
	"image/color"
	imagedraw "image/draw"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead-dev/fairlead/tests/golden"
)

// sizes are those of panels: 16, 22 and 24, and 32 where the screen is dense.
var sizes = []int{16, 22, 24, 32, 48}

func TestIconsLookAsTheyDid(t *testing.T) {
	got := sheet()
	file := filepath.Join("testdata", "icons.png")
	if golden.Updating() {
		content, err := PNG(got)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if want.Bounds() != got.Bounds() {
		t.Fatalf("%v, want %v", got.Bounds(), want.Bounds())
	}
	for y := range got.Bounds().Dy() {
		for x := range got.Bounds().Dx() {
			if color.NRGBAModel.Convert(want.At(x, y)) != color.NRGBAModel.Convert(got.At(x, y)) {
				t.Fatalf("the icons differ from %s at %d,%d; look at them and run go test -update", file, x, y)
			}
		}
	}
}

// sheet shows all icons in all sizes on light and dark, as they are and as macOS gets them.
func sheet() *image.NRGBA {
	const cell = 56
	picture := image.NewNRGBA(image.Rect(0, 0, cell*len(sizes)*2, cell*len(Icons())*2))
	for row, icon := range Icons() {
		for style, drawn := range []func(Icon, int) *image.NRGBA{Draw, DrawTemplate} {
			for ground, shade := range []color.NRGBA{{0xf2, 0xf2, 0xf2, 0xff}, {0x24, 0x24, 0x28, 0xff}} {
				for column, size := range sizes {
					corner := image.Pt((ground*len(sizes)+column)*cell, (style*len(Icons())+row)*cell)
					area := image.Rectangle{corner, corner.Add(image.Pt(cell, cell))}
					imagedraw.Draw(picture, area, image.NewUniform(shade), image.Point{}, imagedraw.Src)
					margin := (cell - size) / 2
					imagedraw.Draw(picture, area.Add(image.Pt(margin, margin)).Intersect(area), drawn(icon, size), image.Point{}, imagedraw.Over)
				}
			}
		}
	}
	return picture
}

// TestIconsDifferWithoutColour compares brightness where an icon covers the panel, at the smallest size.
func TestIconsDifferWithoutColour(t *testing.T) {
	for i, one := range Icons() {
		for _, other := range Icons()[i+1:] {
			a, b := DrawTemplate(one, 16), DrawTemplate(other, 16)
			different := 0
			for y := range 16 {
				for x := range 16 {
					if math.Abs(float64(a.NRGBAAt(x, y).A)-float64(b.NRGBAAt(x, y).A)) > 128 {
						different++
					}
				}
			}
			if connecting := one == Connecting || other == Connecting; different < 20 && !connecting || different < 6 {
				t.Errorf("%s and %s differ in %d pixels", one, other, different)
			}
		}
	}
}

func TestIconsAreReadableOnLightAndDark(t *testing.T) {
	for _, icon := range Icons() {
		for _, l := range design(icon) {
			if l.colour == white || l.colour == cut {
				continue
			}
			for _, panel := range []color.NRGBA{{0xff, 0xff, 0xff, 0xff}, {0x24, 0x24, 0x28, 0xff}} {
				if c := contrast(l.colour, panel); c < 3 {
					t.Errorf("%s has a contrast of %.2f on %v", icon, c, panel)
				}
			}
			if c := contrast(l.colour, white); c < 3 {
				t.Errorf("what is in %s has a contrast of %.2f", icon, c)
			}
		}
	}
}

// contrast is the ratio of WCAG 2.2.
func contrast(a, b color.NRGBA) float64 {
	light, dark := luminance(a), luminance(b)
	return (max(light, dark) + 0.05) / (min(light, dark) + 0.05)
}

func luminance(c color.NRGBA) float64 {
	linear := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}

func TestICO(t *testing.T) {
	content, err := ICO(Draw(Connected, 16), Draw(Connected, 32))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(content, []byte{0, 0, 1, 0, 2, 0, 16, 16, 0, 0, 1, 0, 32, 0}) {
		t.Errorf("begins with % x", content[:22])
	}
	for n, size := range []int{16, 32} { // ICONDIRENTRY: bytes at 8, offset at 12
		entry := content[6+16*n:]
		length, offset := int(entry[8])|int(entry[9])<<8, int(entry[12])|int(entry[13])<<8
		picture, err := png.Decode(bytes.NewReader(content[offset : offset+length]))
		if err != nil || picture.Bounds().Dx() != size {
			t.Errorf("picture %d: %v, %v", n, picture, err)
		}
	}
}
