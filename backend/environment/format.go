// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Format is how variables are written.
type Format string

const (
	Docker  Format = "docker"  // NAME=VALUE lines, for docker run --env-file
	Compose Format = "compose" // a YAML map, for "environment:" of a compose file
	Shell   Format = "sh"      // export NAME='VALUE' lines, for a POSIX shell
	JSON    Format = "json"    // one object
)

// Formats are all of them.
var Formats = []Format{Docker, Compose, Shell, JSON}

// ParseFormat reads the name of a format; empty is Docker. Errors are *problem.Problem.
func ParseFormat(text string) (Format, error) {
	if text == "" {
		return Docker, nil
	}
	if f := Format(strings.ToLower(text)); slices.Contains(Formats, f) {
		return f, nil
	}
	return "", problem.New(problem.Usage, "Use docker, compose, sh or json.", "there is no format %q for variables", text)
}

var shellName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Render writes variables in a format. left are those that it can't express, with the reason.
func Render(format Format, variables []Variable) (text []byte, left []Missing, err error) {
	var b bytes.Buffer
	skip := func(v Variable, why string) { left = append(left, Missing{Name: v.Name, Source: v.Source, Why: why}) }
	values := map[string]string{}
	for _, v := range variables {
		switch {
		case strings.ContainsRune(v.Value, 0):
			skip(v, "no program can have a variable with a zero byte in it")
		case format == Docker && strings.ContainsAny(v.Value, "\r\n"):
			skip(v, "lines of a docker env file can't hold a value of several lines; use another format")
		case format == Docker && (v.Name == "" || strings.ContainsAny(v.Name, " \t=#")):
			skip(v, "a docker env file can't hold a variable of that name")
		case format == Docker:
			fmt.Fprintf(&b, "%s=%s\n", v.Name, v.Value)
		case format == Shell && !shellName.MatchString(v.Name):
			skip(v, "a shell can't hold a variable of that name")
		case format == Shell:
			fmt.Fprintf(&b, "export %s='%s'\n", v.Name, strings.ReplaceAll(v.Value, "'", `'\''`))
		case format == Compose:
			values[v.Name] = strings.ReplaceAll(v.Value, "$", "$$") // compose replaces ${NAME} itself
		default:
			values[v.Name] = v.Value
		}
	}
	switch format {
	case Docker, Shell:
		return b.Bytes(), left, nil
	case Compose:
		text, err = yaml.Marshal(values)
	default:
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(values)
		text = b.Bytes()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("encode variables: %w", err)
	}
	return text, left, nil
}

// WriteFile writes a file that only the user can read, in place of what is there, whole or not at all. Errors are
// *problem.Problem.
func WriteFile(name string, text []byte) error {
	// Beside it, so that the file takes the name at once; CreateTemp makes it for the user alone.
	draft, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return problem.Wrap(err, problem.Usage, "Name a file in a folder that you can write to.", "write the environment to %s", name)
	}
	_, err = draft.Write(text)
	if err = errors.Join(err, draft.Close()); err == nil {
		err = os.Rename(draft.Name(), name)
	}
	if err != nil {
		if removed := os.Remove(draft.Name()); removed != nil && !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
		return problem.Wrap(err, problem.Usage, "", "write the environment to %s", name)
	}
	return nil
}
