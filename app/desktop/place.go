// SPDX-License-Identifier: Apache-2.0

package desktop

import "slices"

// Sizes of the window in logical pixels.
const (
	defaultWidth, defaultHeight = 1080, 760
	minWidth, minHeight         = 380, 420
)

// Size is that of a screen or a window, in logical pixels.
type Size struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

// Place is where the window was, and how large.
type Place struct {
	X int `json:"x"`
	Y int `json:"y"`
	Size
	Maximised bool `json:"maximised,omitempty"`
	// Screens are those that there were then: the place means nothing with others.
	Screens []Size `json:"screens,omitempty"`
}

// Fit says how the window opens: its size, bounded by the screens that there are, and whether it goes where it was. It
// does not if the screens are others than then, since the one that it was on may be gone; then it is centred.
func (p Place) Fit(screens []Size) (size Size, remembered bool) {
	size = Size{max(p.Width, minWidth), max(p.Height, minHeight)}
	if p.Width == 0 || p.Height == 0 {
		size = Size{defaultWidth, defaultHeight}
	}
	var all, largest Size
	for _, s := range screens {
		all.Width, all.Height = all.Width+s.Width, all.Height+s.Height
		if s.Width*s.Height > largest.Width*largest.Height {
			largest = s
		}
	}
	if len(screens) > 0 {
		size.Width, size.Height = min(size.Width, largest.Width), min(size.Height, largest.Height)
	}
	const visible = 64 // pixels of the title bar to take the window by
	inside := p.X > -p.Width+visible && p.Y >= 0 && p.X < all.Width-visible && p.Y < all.Height-visible
	return size, p.Width > 0 && inside && slices.Equal(p.Screens, screens)
}
