// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// patience is how long work goes on before its progress is shown. Scripts of the tests have more of it, so that a slow
// machine shows what a quick one does.
var patience = 500 * time.Millisecond

// frameTime is how long one picture of the spinner stays.
const frameTime = 100 * time.Millisecond

var frames = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// usualWidth is that of a terminal which does not say, in columns.
const usualWidth = 80

// terminalWidth is asked for with each picture: people resize windows.
func terminalWidth() int {
	width, _, err := term.GetSize(int(os.Stderr.Fd()))
	if err != nil || width <= 0 {
		return usualWidth
	}
	return width
}

// shortened cuts text to at most so many characters: a line that wraps could not be taken away again.
func shortened(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:max(most-1, 0)]) + "…"
}

// progress shows what is going on, once it has gone on for a while: on a terminal as one line with a spinner that
// vanishes in the end, elsewhere as a line for each step.
type progress struct {
	w        io.Writer // nil shows nothing
	terminal bool
	width    func() int // of the terminal, in columns

	mu      sync.Mutex
	step    string
	shown   string // last line written where there is no terminal
	visible bool   // patience has run out
	stop    chan struct{}
	done    chan struct{}
}

// begin shows step until the returned progress is ended.
func (p *program) begin(step string) *progress {
	g := &progress{terminal: p.terminal, width: terminalWidth, step: capitalized(step), stop: make(chan struct{}), done: make(chan struct{})}
	if !p.quiet {
		g.w = p.stderr
	}
	go g.run()
	return g
}

// say changes what is shown. An empty step changes nothing.
func (g *progress) say(step string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	step = capitalized(step)
	if step == "" || step == g.step {
		return
	}
	g.step = step
	if g.visible && !g.terminal {
		g.line()
	}
}

// end takes the spinner away. It may be called more than once.
func (g *progress) end() {
	g.mu.Lock()
	select {
	case <-g.stop:
	default:
		close(g.stop)
	}
	g.mu.Unlock()
	<-g.done
}

func (g *progress) run() {
	defer close(g.done)
	if g.w == nil {
		<-g.stop
		return
	}
	select {
	case <-time.After(patience):
	case <-g.stop:
		return
	}
	if !g.terminal {
		g.mu.Lock()
		g.visible = true
		g.line()
		g.mu.Unlock()
		<-g.stop
		return
	}
	ticker := time.NewTicker(frameTime)
	defer ticker.Stop()
	for i := 0; ; i++ {
		g.mu.Lock()
		// \r to the start of the line, ESC [K clears to its end (ECMA-48, 8.3.41).
		fmt.Fprintf(g.w, "\r\x1b[K%s %s", frames[i%len(frames)], shortened(g.step, g.width()-3))
		g.mu.Unlock()
		select {
		case <-ticker.C:
		case <-g.stop:
			fmt.Fprint(g.w, "\r\x1b[K")
			return
		}
	}
}

// line writes the step where there is no terminal; the lock is held.
func (g *progress) line() {
	if g.w != nil && g.step != g.shown {
		fmt.Fprintln(g.w, g.step)
		g.shown = g.step
	}
}
