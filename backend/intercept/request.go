// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Request asks for an intercept, in the words of people. It is plain data: it comes over the local API.
type Request struct {
	Workload  string `json:"workload"`            // NAME, KIND/NAME, or the name of a Service
	Namespace string `json:"namespace,omitempty"` // empty is the connected one
	// Ports are LOCAL[:REMOTE][/PROTOCOL]. REMOTE is a port of a container or of a Service, by number or name; empty is the
	// only one there is. Without a LOCAL (":REMOTE" or a name) it is the same number. None is the only TCP port.
	Ports     []string `json:"ports,omitempty"`
	Container string   `json:"container,omitempty"`
	Address   string   `json:"address,omitempty"` // where the program listens; empty is 127.0.0.1

	All     bool     `json:"all,omitempty"`     // all traffic of the ports
	Headers []string `json:"headers,omitempty"` // NAME=VALUE, NAME^=PREFIX or NAME~=REGEX
	Path    string   `json:"path,omitempty"`    // =PATH or PATH, ^=PREFIX or ~=REGEX
	Key     string   `json:"key,omitempty"`     // of the personal match; empty makes one up where neither header nor path is given
	Mirror  bool     `json:"mirror,omitempty"`  // a copy; the app answers

	Redirect string `json:"redirect,omitempty"` // auto, instant or unprivileged
	Takeover string `json:"takeover,omitempty"` // gentle, force or none
	Expires  string `json:"expires,omitempty"`  // how long at most, such as 8h; empty is as long as the gateway allows
	// Attached ends the intercept with the call that made it.
	Attached bool `json:"attached,omitempty"`
}

// wish is a Request that has been read, without what only the cluster knows.
type wish struct {
	match     *v1alpha1.Match // nil is all traffic
	generated bool            // the key was made up
	ports     []portWish
	redirect  v1alpha1.RedirectMode
	takeover  v1alpha1.TakeoverMode
	expires   time.Duration // 0 is the gateway's limit
}

// read checks a Request as far as that goes without the cluster. Errors are *problem.Problem.
func (r Request) read(user string) (wish, error) {
	var w wish
	var err error
	if strings.TrimSpace(r.Workload) == "" {
		return wish{}, problem.New(problem.Usage, "Name it, such as: fairlead intercept api.", "there is no workload to intercept")
	}
	if w.match, w.generated, err = r.readMatch(user); err != nil {
		return wish{}, err
	}
	const mostPorts = 16
	if len(r.Ports) > mostPorts {
		return wish{}, problem.New(problem.Usage, "Make several intercepts of it.", "%d ports are more than the %d of one intercept", len(r.Ports), mostPorts)
	}
	for _, text := range r.Ports {
		port, err := readPort(text)
		if err != nil {
			return wish{}, err
		}
		w.ports = append(w.ports, port)
	}
	if _, err := localAddress(r.Address, 1); err != nil {
		return wish{}, err
	}
	w.redirect, err = oneOf("redirect", r.Redirect, v1alpha1.RedirectAuto, v1alpha1.RedirectInstant, v1alpha1.RedirectUnprivileged)
	if err != nil {
		return wish{}, err
	}
	w.takeover, err = oneOf("takeover", r.Takeover, v1alpha1.TakeoverGentle, v1alpha1.TakeoverForce, v1alpha1.TakeoverNone)
	if err != nil {
		return wish{}, err
	}
	if r.Expires != "" {
		w.expires, err = time.ParseDuration(r.Expires)
		if err != nil || w.expires < time.Second {
			return wish{}, problem.New(problem.Usage, "Write a duration such as 30m or 8h.", "--expires %q is not a duration", r.Expires)
		}
	}
	return w, nil
}

// oneOf finds a mode by its name, whatever its case; empty is the first.
func oneOf[T ~string](flag, text string, modes ...T) (T, error) {
	if text == "" {
		return modes[0], nil
	}
	var names []string
	for _, mode := range modes {
		if strings.EqualFold(text, string(mode)) {
			return mode, nil
		}
		names = append(names, strings.ToLower(string(mode)))
	}
	return "", problem.New(problem.Usage, "Use "+strings.Join(names[:len(names)-1], ", ")+" or "+names[len(names)-1]+".", "there is no --%s %q", flag, text)
}

var (
	keyPattern  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	namePattern = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_|~-]+$")
)

const (
	maxHeaders = 16   // of a match, as the API has it
	maxValue   = 1024 // bytes of a condition's value
)

// readMatch reads which requests are meant; nil is all traffic.
func (r Request) readMatch(user string) (match *v1alpha1.Match, generated bool, err error) {
	if r.All {
		if len(r.Headers) > 0 || r.Path != "" || r.Key != "" {
			return nil, false, problem.New(problem.Usage, "Leave --all out to intercept some requests only.", "--all means every request; --header, --path and --key say which")
		}
		return nil, false, nil
	}
	match = &v1alpha1.Match{}
	if len(r.Headers) > maxHeaders {
		return nil, false, problem.New(problem.Usage, "", "%d headers are more than the %d that one intercept can look at", len(r.Headers), maxHeaders)
	}
	for _, text := range r.Headers {
		header, err := readHeader(text)
		if err != nil {
			return nil, false, err
		}
		match.Headers = append(match.Headers, header)
	}
	if r.Path != "" {
		value, err := readPath(r.Path)
		if err != nil {
			return nil, false, err
		}
		match.Path = &value
	}
	key := r.Key
	if key == "" && len(match.Headers) == 0 && match.Path == nil {
		key, generated = newKey(user), true
	}
	if key != "" {
		if !keyPattern.MatchString(key) {
			return nil, false, problem.New(problem.Usage, "Use letters, digits, and . _ - between them; at most 63.", "--key %q can't be used as a key", key)
		}
		match.Key = &key
	}
	return match, generated, nil
}

// readHeader reads NAME=VALUE, NAME^=PREFIX or NAME~=REGEX. The name ends before the first of these signs, so that of
// characters that names may have, ^ and ~ can't be its last.
func readHeader(text string) (v1alpha1.HeaderMatch, error) {
	name, value, ok := strings.Cut(text, "=")
	how := byte('=')
	if n := len(name); ok && n > 0 && (name[n-1] == '^' || name[n-1] == '~') {
		how, name = name[n-1], name[:n-1]
	}
	if !ok || !namePattern.MatchString(name) || len(name) > 256 {
		return v1alpha1.HeaderMatch{}, problem.New(problem.Usage, "Write NAME=VALUE, NAME^=PREFIX or NAME~=REGEX.", "--header %q is not a condition on a header", text)
	}
	condition, err := readValue("--header "+text, how, value)
	return v1alpha1.HeaderMatch{Name: name, ValueMatch: condition}, err
}

// readPath reads PATH, =PATH, ^=PREFIX or ~=REGEX.
func readPath(text string) (v1alpha1.ValueMatch, error) {
	how, value := byte('='), text
	switch {
	case strings.HasPrefix(text, "^="), strings.HasPrefix(text, "~="):
		how, value = text[0], text[2:]
	case strings.HasPrefix(text, "="):
		value = text[1:]
	}
	if how != '~' && !strings.HasPrefix(value, "/") {
		return v1alpha1.ValueMatch{}, problem.New(problem.Usage, "Write /PATH, ^=/PREFIX or ~=REGEX.", "--path %q does not begin with a slash", text)
	}
	return readValue("--path "+text, how, value)
}

func readValue(what string, how byte, value string) (v1alpha1.ValueMatch, error) {
	if len(value) > maxValue {
		return v1alpha1.ValueMatch{}, problem.New(problem.Usage, "", "the value of %s is longer than %d bytes", what[:20]+"…", maxValue)
	}
	switch how {
	case '^':
		return v1alpha1.ValueMatch{Prefix: &value}, nil
	case '~':
		if _, err := regexp.Compile(value); err != nil {
			return v1alpha1.ValueMatch{}, problem.Wrap(err, problem.Usage, "Regular expressions are RE2's: https://github.com/google/re2/wiki/Syntax", "%s", what)
		}
		return v1alpha1.ValueMatch{Regex: &value}, nil
	}
	return v1alpha1.ValueMatch{Exact: &value}, nil
}

// newKey makes a key that people can read out: the user's name and four hexadecimal digits, such as ana-7f3c.
func newKey(user string) string {
	var random [2]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	return keyName(user) + "-" + hex.EncodeToString(random[:])
}

// keyName is the part of a Kubernetes user name that people go by: ana of ana@example.com, ci of
// system:serviceaccount:build:ci.
func keyName(user string) string {
	user, _, _ = strings.Cut(user, "@")
	user = user[strings.LastIndexAny(user, ":/\\#")+1:]
	var b strings.Builder
	for _, r := range strings.ToLower(user) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 20 {
			break
		}
	}
	return cmp.Or(strings.Trim(b.String(), "-"), "me")
}

// sameMatch reports whether two matches mean the same requests.
func sameMatch(a, b *v1alpha1.Match) bool {
	if a == nil || b == nil {
		return a == b
	}
	value := func(x, y *v1alpha1.ValueMatch) bool {
		if x == nil || y == nil {
			return x == y
		}
		return equal(x.Exact, y.Exact) && equal(x.Prefix, y.Prefix) && equal(x.Regex, y.Regex)
	}
	return equal(a.Key, b.Key) && value(a.Path, b.Path) && slices.EqualFunc(a.Headers, b.Headers, func(x, y v1alpha1.HeaderMatch) bool {
		return strings.EqualFold(x.Name, y.Name) && value(&x.ValueMatch, &y.ValueMatch)
	})
}

func equal(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }
