// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manualSection is the section of manual pages for commands of users (man-pages(7)).
const manualSection = "1"

// manualCommand is for those who make packages.
func (p *program) manualCommand() *cobra.Command {
	var folder string
	c := &cobra.Command{
		Use:     "manual",
		Hidden:  true,
		Short:   "Write the manual pages of all commands into a folder",
		Example: `  fairlead manual --directory /usr/share/man/man1`,
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return writeManual(c.Root(), p.version, folder) },
	}
	c.Flags().StringVar(&folder, "directory", ".", "folder, which is made if it is not there")
	return c
}

// writeManual writes a page for each command under root. Its date is that of SOURCE_DATE_EPOCH, if set.
func writeManual(root *cobra.Command, version, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make folder of the manual: %w", err)
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.DisableAutoGenTag = true
	forManual(root)
	header := &doc.GenManHeader{Section: manualSection, Source: "Fairlead " + version, Manual: "Fairlead Manual"}
	if err := doc.GenManTree(root, header, folder); err != nil {
		return fmt.Errorf("write the manual: %w", err)
	}
	return nil
}

// forManual makes the words of a command and its subcommands those of Markdown, which the library takes them for.
func forManual(c *cobra.Command) {
	c.Long = strings.NewReplacer("<", `\<`, "*", `\*`, "_", `\_`).Replace(c.Long)
	for _, child := range c.Commands() {
		forManual(child)
	}
}
