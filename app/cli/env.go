// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/environment"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// envFlags are the flags of env.
type envFlags struct {
	request     localapi.EnvironmentRequest
	format      string
	file        string
	showSecrets bool
}

func (p *program) envCommand() *cobra.Command {
	var target targetFlags
	var f envFlags
	c := &cobra.Command{
		Use:     "env WORKLOAD",
		GroupID: groupDaily,
		Short:   "Print the environment variables of a workload",
		Long: `Print the environment variables that a workload's container has: from its spec, ConfigMaps, Secrets and Services, read with
your own rights; and where you may run commands in the pod (create pods/exec), from the process that runs there, which has
those of the image, too. What can't be read is named with the reason.

Values that come from Secrets are left out on a terminal, and with --output json or yaml, unless --show-secrets asks for
them. Into a file or a pipe the variables are written whole, because a program needs them whole:

  fairlead env api --format sh > .env

A file that is written with --file can be read by you alone; the shell's > follows your umask.`,
		Example: `  fairlead env api
  fairlead env api --format sh --file .env && . ./.env
  fairlead env deployment/api --container web --format compose
  docker run --env-file <(fairlead env api) my-image`,
		Args: func(c *cobra.Command, arguments []string) error {
			if len(arguments) != 1 {
				return problem.New(problem.Usage, "'fairlead list' shows what there is.", "'fairlead env' needs the name of one workload")
			}
			f.request.Workload = arguments[0]
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := target.target()
			if err != nil {
				return err
			}
			f.request.Target = t
			return p.env(c.Context(), f)
		},
	}
	target.add(p, c, "namespace of the workload (default: the connected one, else the context's)")
	flags := c.Flags()
	flags.StringVar(&f.format, "format", "", "docker, compose, sh or json (default: docker)")
	flags.StringVar(&f.file, "file", "", "write to this file, for you alone, instead of standard output")
	flags.StringVar(&f.request.Container, "container", "", "container of the workload (default: the main one)")
	flags.BoolVar(&f.showSecrets, "show-secrets", false, "show values of secrets where they would be left out")
	c.ValidArgsFunction = p.completeWorkloads(&target.namespace)
	complete(c, "format", fixed(formatNames()...))
	complete(c, "container", cobra.NoFileCompletions)
	return c
}

func (p *program) env(ctx context.Context, f envFlags) error {
	format, err := environment.ParseFormat(f.format)
	if err != nil {
		return err
	}
	structured := p.output == formatJSON || p.output == formatYAML
	if structured && (f.format != "" || f.file != "") {
		return problem.New(problem.Usage, "Leave one of them out.", "--output %s and --format or --file exclude each other", p.output)
	}
	f.request.Secrets = f.showSecrets || !structured && (f.file != "" || !p.toTerminal())
	progress := p.begin("Reading the environment of " + f.request.Workload)
	defer progress.end()
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	found, err := client.Environment(ctx, f.request)
	if err != nil {
		return err
	}
	progress.end()
	if structured {
		return p.answer(found, nil)
	}
	return p.writeEnvironment(found, format, f)
}

// writeEnvironment writes variables where they are wanted, and says what is left out.
func (p *program) writeEnvironment(found localapi.Environment, format environment.Format, f envFlags) error {
	var hidden []string
	variables := found.Variables
	if !f.request.Secrets {
		variables = slices.DeleteFunc(slices.Clone(variables), func(v environment.Variable) bool {
			if v.Secret {
				hidden = append(hidden, v.Name)
			}
			return v.Secret
		})
	}
	text, left, err := environment.Render(format, variables)
	if err != nil {
		return err
	}
	if f.file != "" {
		err = environment.WriteFile(f.file, text)
	} else {
		_, err = p.stdout.Write(text)
	}
	if err != nil {
		return err
	}
	p.warnMissing(slices.Concat(found.Missing, left))
	for _, note := range found.Notes {
		p.warn("%s", sentence(capitalized(note)))
	}
	if len(hidden) > 0 {
		p.warn("Secrets are not shown here, which --show-secrets does: %v", hidden)
	}
	if f.file != "" && !p.quiet {
		fmt.Fprintf(p.stderr, "Wrote %d variables to %s.\n", len(variables)-len(left), f.file)
	}
	return nil
}

// toTerminal reports whether standard output is a terminal.
func (p *program) toTerminal() bool {
	file, ok := p.stdout.(*os.File)
	return ok && isTerminal(file)
}
