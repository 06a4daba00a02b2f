// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"encoding/binary"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// screen is what the X server shows, in the file that it keeps it in (Xvfb -fbdir): looking at it takes nobody's time.
type screen struct {
	pixels []byte // blue, green, red, unused
	stride int    // bytes of a row
}

// openScreen maps the file, which is an X window dump (XWDFile.h): numbers of four bytes, the highest first.
func openScreen(path string) (screen, error) {
	file, err := os.Open(path)
	if err != nil {
		return screen{}, err
	}
	defer file.Close()
	about, err := file.Stat()
	if err != nil {
		return screen{}, err
	}
	dump, err := unix.Mmap(int(file.Fd()), 0, int(about.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return screen{}, fmt.Errorf("map %s: %w", path, err)
	}
	const headerSize, bitsPerPixel, bytesPerLine, colours = 0, 11, 12, 19 // fields
	field := func(i int) int { return int(binary.BigEndian.Uint32(dump[4*i:])) }
	if bits := field(bitsPerPixel); bits != 32 {
		return screen{}, fmt.Errorf("%s has pixels of %d bits", path, bits)
	}
	const colourSize = 12
	return screen{pixels: dump[field(headerSize)+field(colours)*colourSize:], stride: field(bytesPerLine)}, nil
}

// count counts the pixels of a part that are as dark as text, and those as bright as what it is written on.
func (s screen) count(part image.Rectangle) (dark, bright int) {
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			p := s.pixels[y*s.stride+4*x:]
			if max(p[0], p[1], p[2]) < 0x60 {
				dark++
			}
			if min(p[0], p[1], p[2]) > 0xe0 {
				bright++
			}
		}
	}
	return dark, bright
}

// selected is what the selected lines of menus take up together: a line of a menu below is beside the one it belongs to.
func (s screen) selected() (all image.Rectangle) {
	const shortest = 100 // pixels; what has the colour on a page is shorter
	for y := range len(s.pixels) / s.stride {
		first, n := 0, 0
		for x := range s.stride / 4 {
			p := s.pixels[y*s.stride+4*x:]
			if p[2] != 0x15 || p[1] != 0x53 || p[0] != 0x9e { // the theme's
				continue
			}
			if n == 0 {
				first = x
			}
			n++
			if n >= shortest {
				all = all.Union(image.Rect(first, y, x+1, y+1))
			}
		}
	}
	return all
}

// connectButtons is where the page's list of contexts has its buttons in a window that opens where windows first do.
// Before the window is there the screen is black, and before the contexts are, nothing is dark.
var connectButtons = image.Rect(1000, 205, 1145, 420)

// usable waits until the window shows something to click: a context's Connect. It returns how long that took from the start
// of the process.
func (w *window) usable(t *testing.T) time.Duration {
	t.Helper()
	const letters = 40 // pixels; the word alone has more
	eventually(t, "a button of a context on the screen", func() error {
		dark, bright := here.screen.count(connectButtons)
		if dark < letters || bright < connectButtons.Dx()*connectButtons.Dy()/2 {
			return fmt.Errorf("%d pixels of text are there, and %d of a page", dark, bright)
		}
		return nil
	})
	return time.Since(w.began).Round(time.Millisecond)
}

// processorTime is what the window and the processes of its web view have computed so far: unlike the time that passed, it
// hardly depends on what else the machine does.
func (w *window) processorTime() (sum time.Duration) {
	const (
		group, user, system = 2, 11, 12             // fields behind the name (proc_pid_stat(5))
		tick                = 10 * time.Millisecond // USER_HZ is 100 on every architecture here
	)
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, behind, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(behind)
		if len(fields) <= system || fields[group] != strconv.Itoa(w.Process.Pid) {
			continue
		}
		for _, field := range []int{user, system} {
			ticks, _ := strconv.ParseInt(fields[field], 10, 64)
			sum += time.Duration(ticks) * tick
		}
	}
	return sum
}
