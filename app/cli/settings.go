// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/settings"
)

func (p *program) settingsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "settings",
		GroupID: groupSetup,
		Short:   "Show or change what counts for every connection",
		Long: `Show what counts for every connection where flags say nothing else. The settings are one file of yours,
~/.config/fairlead/settings.json, which may be edited. There is nothing in it that is secret, and no telemetry.`,
		Example: `  fairlead settings
  fairlead settings set carrier relay
  fairlead settings set exclude ""          # back to the default`,
		Args: p.noSuchCommand,
		RunE: func(c *cobra.Command, _ []string) error { return p.showSettings(c.Context()) },
	}
	c.AddCommand(p.settingsSetCommand())
	return c
}

func (p *program) settingsSetCommand() *cobra.Command {
	var help strings.Builder
	for _, key := range settings.Keys() {
		fmt.Fprintf(&help, "  %-17s %s\n", key.Name, key.What)
	}
	return &cobra.Command{
		Use:   "set KEY VALUE",
		Short: "Change one setting",
		Long: `Change one setting. Lists have commas between their entries; switches are true or false; an empty value is the
default. What is connected stays as it is: the next connect goes by it.

` + strings.TrimRight(help.String(), "\n"),
		Example: `  fairlead settings set carrier udp
  fairlead settings set exclude 10.20.0.0/16,10.30.0.0/16
  fairlead settings set kubeconfigs ~/.kube/config,~/.kube/staging`,
		Args: func(c *cobra.Command, arguments []string) error {
			if len(arguments) != 2 {
				return problem.New(problem.Usage, `An empty value, "", is the default. 'fairlead settings set --help' lists the keys.`, "'%s' takes a key and a value", c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, arguments []string) error {
			return p.setSetting(c.Context(), arguments[0], arguments[1])
		},
		ValidArgsFunction: completeSetting,
	}
}

func (p *program) showSettings(ctx context.Context) error {
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	now, err := client.Settings(ctx)
	if err != nil {
		return err
	}
	return p.answer(now, func(w io.Writer) { writeSettings(w, now) })
}

func (p *program) setSetting(ctx context.Context, key, value string) error {
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	now, err := client.Settings(ctx)
	if err != nil {
		return err
	}
	if key == "kubeconfigs" && value != "" { // relative to this shell's folder
		files, err := absolute(strings.Split(value, ","))
		if err != nil {
			return err
		}
		value = strings.Join(files, ",")
	}
	if now, err = settings.Set(now, key, value); err != nil {
		return err
	}
	if now, err = client.SaveSettings(ctx, now); err != nil {
		return err
	}
	return p.answer(now, func(w io.Writer) { writeSettings(w, now) })
}

// writeSettings writes each setting; one that is not set with what counts instead.
func writeSettings(w io.Writer, s settings.Settings) {
	var fields []field
	for _, key := range settings.Keys() {
		fields = append(fields, field{key.Name, cmp.Or(key.Value(s), "("+key.Says+")")})
	}
	writeFields(w, fields)
}

func completeSetting(_ *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
	var fitting []string
	for _, key := range settings.Keys() {
		switch {
		case len(given) == 0 && strings.HasPrefix(key.Name, typed):
			fitting = append(fitting, key.Name+"\t"+key.What)
		case len(given) == 1 && key.Name == given[0] && key.Name == "kubeconfigs":
			return nil, cobra.ShellCompDirectiveDefault
		case len(given) == 1 && key.Name == given[0]:
			fitting = key.Values
		}
	}
	return fitting, cobra.ShellCompDirectiveNoFileComp
}
