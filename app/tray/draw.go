// SPDX-License-Identifier: Apache-2.0

package tray

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
)

// grid is the side of the square that icons are designed on. Edges lie on even numbers where they can, so that they are
// sharp at 16 pixels.
const grid = 32

// samples is how many points of a pixel are looked at in each direction; their share inside a shape is how much of the
// pixel it covers.
const samples = 8

// shape reports whether a point of the grid lies inside.
type shape func(x, y float64) bool

// layer is a shape in one colour. Without a colour it cuts out of what is below.
type layer struct {
	inside shape
	colour color.NRGBA
}

// The colours have a contrast of 3:1 and more to black and to white (WCAG 2.2, 1.4.11), because nothing says whether the
// panel is light or dark. Every state has a shape of its own, too.
var (
	grey   = color.NRGBA{0x7a, 0x83, 0x8f, 0xff}
	blue   = color.NRGBA{0x2b, 0x7d, 0xc4, 0xff}
	green  = color.NRGBA{0x16, 0x8a, 0x5c, 0xff}
	violet = color.NRGBA{0x8f, 0x55, 0xdc, 0xff}
	red    = color.NRGBA{0xd0, 0x42, 0x32, 0xff}
	white  = color.NRGBA{0xff, 0xff, 0xff, 0xff}
	cut    = color.NRGBA{}
)

// design is how an icon looks: the arch of a fairlead on a disc, and what runs through it.
func design(i Icon) []layer {
	plate := disc(16, 16, 16)
	arch := union(arc(16, 16, 8, 4), box(6, 16, 10, 24), box(22, 16, 26, 24))
	switch i {
	case Connecting:
		return []layer{{plate, blue}, {arch, white}, {union(disc(12.5, 22, 2), disc(19.5, 22, 2)), white}}
	case Connected:
		return []layer{{plate, green}, {arch, white}, {disc(16, 20, 4), white}}
	case Intercepting:
		return []layer{{plate, violet}, {union(box(14, 5, 18, 20), triangle(8, 18, 24, 18, 16, 27)), white}}
	case Trouble:
		sign := triangle(16, 0, 33, 31, -1, 31)
		return []layer{{sign, red}, {union(box(14, 11, 18, 21), box(14, 24, 18, 28)), white}}
	default:
		return []layer{{plate, grey}, {disc(16, 16, 13), cut}, {arch, grey}}
	}
}

// Draw draws an icon of size by size pixels.
func Draw(i Icon, size int) *image.NRGBA { return paint(design(i), size) }

// DrawTemplate draws an icon in black, with what is white in Draw cut out: macOS colours it to go with its menu bar.
func DrawTemplate(i Icon, size int) *image.NRGBA {
	layers := design(i)
	for n := range layers {
		switch layers[n].colour {
		case white:
			layers[n].colour = cut
		case cut:
		default:
			layers[n].colour = color.NRGBA{A: 0xff}
		}
	}
	return paint(layers, size)
}

func paint(layers []layer, size int) *image.NRGBA {
	picture := image.NewNRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			picture.SetNRGBA(x, y, pixel(layers, float64(x), float64(y), grid/float64(size)))
		}
	}
	return picture
}

// pixel is the mean colour of the points of one pixel.
func pixel(layers []layer, x, y, scale float64) color.NRGBA {
	var r, g, b, a int
	for sy := range samples {
		for sx := range samples {
			c := point(layers, (x+(float64(sx)+0.5)/samples)*scale, (y+(float64(sy)+0.5)/samples)*scale)
			r, g, b, a = r+int(c.R)*int(c.A), g+int(c.G)*int(c.A), b+int(c.B)*int(c.A), a+int(c.A)
		}
	}
	if a == 0 {
		return color.NRGBA{}
	}
	return color.NRGBA{uint8(r / a), uint8(g / a), uint8(b / a), uint8(a / samples / samples)}
}

// point is the colour of the topmost layer there.
func point(layers []layer, x, y float64) (c color.NRGBA) {
	for _, l := range layers {
		if l.inside(x, y) {
			c = l.colour
		}
	}
	return c
}

func disc(cx, cy, r float64) shape {
	return func(x, y float64) bool { return math.Hypot(x-cx, y-cy) <= r }
}

// arc is the upper half of a ring.
func arc(cx, cy, r, width float64) shape {
	return func(x, y float64) bool { return y <= cy && math.Abs(math.Hypot(x-cx, y-cy)-r) <= width/2 }
}

func box(left, top, right, bottom float64) shape {
	return func(x, y float64) bool { return left <= x && x < right && top <= y && y < bottom }
}

func triangle(ax, ay, bx, by, cx, cy float64) shape {
	side := func(px, py, qx, qy, x, y float64) bool { return (x-px)*(qy-py)-(y-py)*(qx-px) >= 0 }
	return func(x, y float64) bool {
		first := side(ax, ay, bx, by, x, y)
		return first == side(bx, by, cx, cy, x, y) && first == side(cx, cy, ax, ay, x, y)
	}
}

func union(all ...shape) shape {
	return func(x, y float64) bool {
		for _, s := range all {
			if s(x, y) {
				return true
			}
		}
		return false
	}
}

// PNG encodes a picture.
func PNG(picture image.Image) ([]byte, error) {
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		return nil, fmt.Errorf("encode icon: %w", err)
	}
	return b.Bytes(), nil
}

// ICO puts pictures of one icon, of at most 256 pixels, into a file of Windows' format, as PNG (Windows Vista and later).
func ICO(pictures ...image.Image) ([]byte, error) {
	const header, entry = 6, 16 // bytes (ICONDIR and ICONDIRENTRY)
	var index, data bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			_ = binary.Write(&index, binary.LittleEndian, v)
		}
	}
	put(uint16(0), uint16(1), uint16(len(pictures)))
	for _, picture := range pictures {
		content, err := PNG(picture)
		if err != nil {
			return nil, err
		}
		size := picture.Bounds().Size()
		// Width and height (0 is 256), palette, reserved, planes, bits per pixel, bytes, offset.
		put(uint8(size.X), uint8(size.Y), uint8(0), uint8(0), uint16(1), uint16(32), uint32(len(content)),
			uint32(header+entry*len(pictures)+data.Len()))
		data.Write(content)
	}
	return append(index.Bytes(), data.Bytes()...), nil
}
