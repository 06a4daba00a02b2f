// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// format is how answers are written. The zero value is text.
type format string

const (
	formatText format = "text"
	formatJSON format = "json"
	formatYAML format = "yaml"
)

// String, Set and Type make format a flag.
func (f *format) String() string {
	if *f == "" {
		return string(formatText)
	}
	return string(*f)
}

func (f *format) Set(text string) error {
	*f = format(text)
	return f.check()
}

func (f *format) Type() string { return "format" }

func (f format) check() error {
	switch f {
	case "", formatText, formatJSON, formatYAML:
		return nil
	}
	return problem.New(problem.Usage, "Use --output text, json or yaml.", "there is no output format %q", string(f))
}

// requestedFormat finds the output format in arguments that may be wrong otherwise.
func requestedFormat(arguments []string) format {
	found := formatText
	for i, argument := range arguments {
		if argument == "--" {
			break
		}
		value, ok := strings.CutPrefix(argument, "--output=")
		if !ok {
			value, ok = strings.CutPrefix(argument, "-o=")
		}
		if !ok && (argument == "-o" || argument == "--output") && i+1 < len(arguments) {
			value, ok = arguments[i+1], true
		}
		if !ok && strings.HasPrefix(argument, "-o") && !strings.HasPrefix(argument, "--") {
			value, ok = argument[2:], true
		}
		if f := format(value); ok && f.check() == nil && f != "" {
			found = f
		}
	}
	return found
}

// answer writes v as the format asks: text calls text with where to write.
func (p *program) answer(v any, text func(io.Writer)) error {
	switch p.output {
	case formatJSON:
		encoder := json.NewEncoder(p.stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(v)
	case formatYAML:
		data, err := yaml.Marshal(v)
		if err != nil {
			return fmt.Errorf("encode the answer: %w", err)
		}
		_, err = p.stdout.Write(data)
		return err
	default:
		text(p.stdout)
		return nil
	}
}

// answerNext writes one of a series: a line of JSON each, or YAML documents.
func (p *program) answerNext(v any, text func(io.Writer)) error {
	switch p.output {
	case formatJSON:
		encoder := json.NewEncoder(p.stdout)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(v)
	case formatYAML:
		if _, err := io.WriteString(p.stdout, "---\n"); err != nil {
			return err
		}
	}
	return p.answer(v, text)
}

// exit is an error that is an exit status and nothing to say: the command has said it.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// fail tells what went wrong, people on standard error and programs on standard output, and returns the exit status.
func (p *program) fail(err error) int {
	if err == nil {
		return 0
	}
	if status, ok := errors.AsType[exit](err); ok {
		return int(status)
	}
	f := problem.From(err)
	if p.output == formatJSON || p.output == formatYAML {
		_ = p.answer(struct {
			Error *problem.Problem `json:"error"`
		}{f}, nil)
	}
	writeProblem(p.stderr, "Error: ", f)
	return f.ExitStatus()
}

// writeProblem writes a problem for people.
func writeProblem(w io.Writer, title string, f *problem.Problem) {
	fmt.Fprintf(w, "%s%s\n", title, sentence(f.Message))
	if len(f.Details) != 1 || !strings.Contains(f.Message, f.Details[0]) { // one that the message has is not said twice
		for _, detail := range f.Details {
			fmt.Fprintf(w, "  %s\n", detail)
		}
	}
	if f.Hint != "" {
		fmt.Fprintf(w, "Hint: %s\n", f.Hint)
	}
}

// sentence ends text with a full stop, unless it ends with a mark of its own.
func sentence(text string) string {
	if text == "" || strings.ContainsAny(text[len(text)-1:], ".!?:)") {
		return text
	}
	return text + "."
}

// capitalized begins text with a capital letter, unless it begins with the name of something, such as a pod.
func capitalized(text string) string {
	word, _, _ := strings.Cut(text, " ")
	if strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsLetter(r) }) {
		return text
	}
	first, length := utf8.DecodeRuneInString(text)
	if length == 0 {
		return text
	}
	return string(unicode.ToUpper(first)) + text[length:]
}
