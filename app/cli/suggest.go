// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// explainFlag turns what is wrong with a flag into a problem, and names the flag that may have been meant.
func explainFlag(c *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	if _, ok := errors.AsType[*problem.Problem](err); ok {
		return err
	}
	hint := "Run '" + c.CommandPath() + " --help' for its flags."
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if meant := similarFlag(c, unknown.GetSpecifiedName()); meant != "" {
			hint = "Did you mean '--" + meant + "'?"
		}
		return problem.New(problem.Usage, hint, "'%s' has no flag '%s'", c.CommandPath(), dashes(unknown.GetSpecifiedName()))
	}
	return problem.New(problem.Usage, hint, "%s", err.Error())
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// similarFlag returns the flag of c whose name is nearest to name; empty if none is near.
func similarFlag(c *cobra.Command, name string) string {
	var names []string
	collect := func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	}
	c.LocalFlags().VisitAll(collect)
	c.InheritedFlags().VisitAll(collect)
	return nearest(name, names)
}

// noSuchValue refuses the value of a flag that takes only some, and names the one that may have been meant.
func noSuchValue(flag, text string, values []string) error {
	last := len(values) - 1
	hint := "Use --" + flag + " " + strings.Join(values[:last], ", ") + " or " + values[last] + "."
	if meant := nearest(text, values); meant != "" {
		hint = "Did you mean '--" + flag + " " + meant + "'?"
	}
	return problem.New(problem.Usage, hint, "there is no %s %q", strings.ReplaceAll(flag, "-", " "), text)
}

// nearest returns the candidate that name is a beginning of, or else that takes the fewest changes to become name, as
// long as these are few. It returns "" for none.
func nearest(name string, candidates []string) string {
	const fewest = 2
	best, bestDistance := "", fewest+1
	for _, candidate := range candidates {
		if len(name) >= 2 && strings.HasPrefix(candidate, name) {
			return candidate
		}
		if d := distance(name, candidate); d < bestDistance && d < len(candidate) {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance is the number of insertions, deletions and replacements between a and b (Levenshtein, 1965).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, above+1, row[j]+1)
			diagonal = above
		}
	}
	return row[len(b)]
}
