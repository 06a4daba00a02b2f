// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Scheme is that of links that open the window.
const Scheme = "fairlead"

// maxLink bounds a link, in bytes.
const maxLink = 2048

// maxContext bounds the name of a context, in bytes. Kubernetes has no rule for them.
const maxContext = 253

// screens are what a link may open without saying more; the names are those of the page.
var screens = []string{"clusters", "workloads", "intercepts", "activity", "doctor", "settings"}

// fields are what a link to the dialog of an intercept may fill in, and what each may be.
var fields = map[string]func(string) bool{
	"context":   isContext,
	"namespace": regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`).MatchString,                   // RFC 1123 label
	"workload":  regexp.MustCompile(`^([a-z]{1,32}/)?[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`).MatchString,  // [kind/]name
	"port":      regexp.MustCompile(`^([1-9][0-9]{0,4}|[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?)$`).MatchString, // number, or name (RFC 6335)
	"key":       regexp.MustCompile(`^[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$`).MatchString,        // as a label's value
}

// ParseLink returns the place on the page that a link such as fairlead://intercept?namespace=shop&workload=pricing
// stands for; that is "" for fairlead://open. A link only fills in a dialog: it never acts by itself, because anybody can
// put one on a web page.
func ParseLink(text string) (place string, err error) {
	if len(text) > maxLink {
		return "", refuse("it is longer than %d bytes", maxLink)
	}
	link, err := url.Parse(text)
	if err != nil {
		return "", refuse("it is no address")
	}
	name := link.Host
	if !strings.EqualFold(link.Scheme, Scheme) || link.Opaque != "" || link.User != nil || link.Fragment != "" || strings.Trim(link.Path, "/") != "" {
		return "", refuse("it is not of the form %s://NAME?FIELD=VALUE", Scheme)
	}
	given, err := url.ParseQuery(link.RawQuery)
	if err != nil {
		return "", refuse("what follows the question mark can't be read")
	}
	switch {
	case name == "intercept":
		return interceptPlace(given)
	case len(given) > 0:
		return "", refuse("%q takes no fields", name)
	case name == "" || name == "open":
		return "", nil
	case slices.Contains(screens, name):
		return "/" + name, nil
	}
	return "", refuse("it names %.40q, which this version does not have", name)
}

func interceptPlace(given url.Values) (string, error) {
	for name, values := range given {
		valid, known := fields[name]
		switch {
		case !known:
			return "", refuse("it has a field %.40q, which this version does not know", name)
		case len(values) != 1:
			return "", refuse("it has %q more than once", name)
		case !valid(values[0]):
			return "", refuse("its %s is not a valid one", name)
		}
	}
	if given.Get("workload") == "" {
		return "", refuse("it names no workload")
	}
	return "/intercept?" + given.Encode(), nil
}

func isContext(name string) bool {
	return name != "" && len(name) <= maxContext && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

func refuse(format string, args ...any) error {
	return problem.New(problem.Usage, "Ask whoever gave you the link for a new one, or open Fairlead and choose by hand.",
		"Fairlead does not open this link: "+format, args...)
}
