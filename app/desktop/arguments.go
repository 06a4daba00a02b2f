// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"strings"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Arguments is what the window is started with. A second start hands them to the first.
type Arguments struct {
	// Hidden starts in the tray, as at login.
	Hidden bool `json:"hidden,omitempty"`
	// Version only prints the version.
	Version bool `json:"version,omitempty"`
	// Link is a link that the system was asked to open; empty is none.
	Link string `json:"link,omitempty"`
}

// ParseArguments reads the command line without the program's name. The link is checked by ParseLink later, because the
// window has to say what is wrong with it: whoever clicks on a link has no terminal.
func ParseArguments(words []string) (Arguments, error) {
	var a Arguments
	for _, word := range words {
		switch {
		case word == "--hidden":
			a.Hidden = true
		case word == "--version":
			a.Version = true
		case strings.HasPrefix(word, "-psn_"): // macOS before 10.9 names the process
		case strings.HasPrefix(strings.ToLower(word), Scheme+":") && a.Link == "":
			a.Link = word
		default:
			return a, problem.New(problem.Usage, "Usage: fairlead-desktop [--hidden | --version] [fairlead://…]", "the window does not take %.80q", word)
		}
	}
	return a, nil
}
