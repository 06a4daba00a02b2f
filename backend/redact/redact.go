// SPDX-License-Identifier: Apache-2.0

// Package redact takes out of texts what may be secret, before they are shown or written into a support bundle: values
// behind names such as password or token, keys and certificates, credentials in URLs, query strings, cookies, and words that
// look made at random.
//
// It owns the rules, and is pure. It errs on the side of taking out too much. It must not be relied upon where a secret is
// known to be: leave the value out altogether there.
package redact

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Mark stands for what was taken out.
const Mark = "…"

// secretName is how names of what is secret end; words that are parts of others stand after a separator, so that "monkey"
// is no key.
const secretName = `(?:pass(?:word|wd|phrase)?|token|secret|credentials?|api[-_.]?key|private[-_.]?key|access[-_.]?key|` +
	`signing[-_.]?key|session[-_.]?id|cookie|signature|(?:\b|[-_.])(?:pwd|key|auth|bearer|dsn|sas|(?:key|certificate|certificate-authority)-data))s?`

var (
	// secretFlag is the name of a flag or variable whose value is secret.
	secretFlag = regexp.MustCompile(`(?i)` + secretName + `$`)
	// plainNames look like secret ones and are not.
	plainNames = regexp.MustCompile(`(?i)(?:^|[-_.])(?:file|path|name|id|dir|folder|type|method|mode|url|key-?file)$`)
	// userInfo is NAME:PASSWORD@ in a URL.
	userInfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@"']+@`)
	// query is the query of a URL or path.
	query = regexp.MustCompile(`([\w/.~%-])\?[^\s"'<>]+`)
	// header is a line of a header that is secret, up to the end of the line or quotation.
	header = regexp.MustCompile(`(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-[a-z0-9-]*(?:token|api-key|secret|auth)[a-z0-9-]*)(["']?\s*[:=]\s*)[^\r\n"']+`)
	// bearer is a credential as HTTP has it.
	bearer = regexp.MustCompile(`(?i)\b(bearer|basic|digest|negotiate)\s+[a-z0-9+/_=.~-]{6,}`)
	// assigned is a name that is secret with its value: NAME=value, NAME: value or "name":"value".
	assigned = regexp.MustCompile(`(?i)(["']?\b[a-z0-9_.-]*` + secretName + `["']?\s*[=:]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;&"']+)`)
	// block is a key or certificate in PEM (RFC 7468), whether lines are ended really or by an escape.
	block = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|$)`)
	// known are tokens by their form: JWT (RFC 7519), and those of GitHub, GitLab, Slack, AWS, Google and Stripe.
	known = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?|\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|ASIA|AIza|sk_live_|sk_test_|sk-|rk_live_|npm_|dop_v1_)[A-Za-z0-9_-]{8,}`)
)

// secretWords are in every line that the rules on names find something in.
var secretWords = []string{"pass", "pwd", "token", "secret", "credential", "key", "auth", "bearer", "basic", "digest", "negotiate", "session", "cookie", "dsn", "sas", "signature", "-data"}

// tokenWords begin what known finds.
var tokenWords = []string{"eyJ", "gh", "glpat-", "xox", "AKIA", "ASIA", "AIza", "sk", "rk_live_", "npm_", "dop_v1_"}

// Text takes what may be secret out of a text of any kind, such as a log. It looks at each line by itself, but for keys and
// certificates.
func Text(text string) string {
	if strings.Contains(text, "-----BEGIN") {
		text = block.ReplaceAllString(text, "-----"+Mark+"-----")
	}
	var b strings.Builder
	b.Grow(len(text))
	for len(text) > 0 {
		line := text
		if i := strings.IndexByte(text, '\n'); i >= 0 {
			line = text[:i+1]
		}
		text = text[len(line):]
		b.WriteString(redactLine(line))
	}
	return b.String()
}

// redactLine is Text for one line. The rules are tried only where they can find something: logs are long.
func redactLine(line string) string {
	lower := strings.ToLower(line)
	has := func(text string, words []string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
	}
	named := has(lower, secretWords)
	if named {
		line = header.ReplaceAllString(line, "$1$2"+Mark)
		line = bearer.ReplaceAllString(line, "$1 "+Mark)
	}
	if strings.Contains(line, "@") {
		line = userInfo.ReplaceAllString(line, "$1"+Mark+"@")
	}
	if strings.Contains(line, "?") {
		line = query.ReplaceAllString(line, "$1?"+Mark)
	}
	if has(line, tokenWords) {
		line = known.ReplaceAllString(line, Mark)
	}
	if named {
		line = assigned.ReplaceAllStringFunc(line, redactAssigned)
	}
	return redactRandom(line)
}

// redactAssigned takes the value out of a name with its value, unless it is one that only looks secret.
func redactAssigned(found string) string {
	parts := assigned.FindStringSubmatch(found)
	name := strings.TrimRight(parts[1], "=: \t\"'")
	if plainNames.MatchString(name) {
		return found
	}
	if quoted := parts[2][:1]; quoted == `"` || quoted == "'" {
		return parts[1] + quoted + Mark + quoted
	}
	return parts[1] + Mark
}

// longWord is how long a word is at least that may be made at random; the parts of UUIDs are shorter.
const longWord = 28

// redactRandom takes out long words of letters and digits mixed, as secrets are.
func redactRandom(line string) string {
	isPart := func(c byte) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '+' || c == '/' || c == '_'
	}
	for end := 0; end < len(line); end++ {
		begin := end
		for end < len(line) && isPart(line[end]) {
			end++
		}
		if end-begin < longWord || !looksRandom(line[begin:end]) {
			continue
		}
		rest := strings.TrimLeft(line[end:], "=") // of base64
		line = line[:begin] + Mark + rest
		end = begin + len(Mark) - 1
	}
	return line
}

// looksRandom reports whether a long word has both letters and digits all over, rather than being a name or a path.
func looksRandom(word string) bool {
	if strings.Count(word, "/") > len(word)/12 {
		return false // a path
	}
	changes, digits := 0, 0
	kind := func(c byte) int {
		switch {
		case c >= '0' && c <= '9':
			return 1
		case c >= 'A' && c <= 'Z':
			return 2
		}
		return 3
	}
	for i := range len(word) {
		if kind(word[i]) == 1 {
			digits++
		}
		if i > 0 && kind(word[i]) != kind(word[i-1]) {
			changes++
		}
	}
	return digits > 0 && changes > len(word)/5
}

// Command joins the words of a command line into one that may be shown, at most limit characters long.
func Command(words []string, limit int) string {
	shown := make([]string, 0, len(words))
	hide := false // the next word is the value of a secret flag
	for i, word := range words {
		name, _, assigned := strings.Cut(word, "=")
		isFlag := strings.HasPrefix(word, "-")
		switch {
		case hide && !isFlag:
			word = Mark
		case i > 0 && assigned && isSecret(name):
			word = name + "=" + Mark
		case i > 0:
			word = Text(word)
		}
		hide = isFlag && !assigned && isSecret(name)
		if word == "" || strings.ContainsAny(word, " \t\n") {
			word = "'" + strings.Join(strings.Fields(word), " ") + "'"
		}
		shown = append(shown, word)
		if len(shown) > limit {
			break
		}
	}
	return Shorten(strings.Join(shown, " "), limit)
}

// isSecret reports whether what goes by a name is secret.
func isSecret(name string) bool {
	name = strings.TrimLeft(name, "-")
	return !strings.ContainsAny(name, "/?") && secretFlag.MatchString(name) && !plainNames.MatchString(name)
}

// Shorten cuts a text to limit characters, and takes out what is no text.
func Shorten(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == utf8.RuneError {
			return -1
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}

// JSON takes what may be secret out of a JSON value as encoding/json decodes it into an any: out of all texts, and whole
// values of fields that are named like secrets. In keep are names of fields that stay as they are.
func JSON(value any, keep ...string) any {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			text, isText := inner.(string)
			switch {
			case slices.Contains(keep, name):
			case isText && text != "" && isSecret(name):
				v[name] = Mark
			default:
				v[name] = JSON(inner, keep...)
			}
		}
	case []any:
		for i := range v {
			v[i] = JSON(v[i], keep...)
		}
	case string:
		return Text(v)
	}
	return value
}
