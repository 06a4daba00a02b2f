// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/environment"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// bundleAnswer is what 'doctor --bundle' answers.
type bundleAnswer struct {
	File  string                `json:"file"`
	Bytes int                   `json:"bytes"`
	Files []localapi.BundleFile `json:"files"`
}

// bundle writes a support bundle into a file for this user alone; into a folder it goes by its own name.
func (p *program) bundle(ctx context.Context, t localapi.Target, file string) error {
	progress := p.begin("Collecting what helps to find faults")
	defer progress.end()
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	plan, err := client.BundlePlan(ctx, t)
	if err != nil {
		return err
	}
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, plan.Name)
	}
	if filepath.Ext(file) != ".zip" {
		return problem.New(problem.Usage, "Name it something.zip, or name a folder.", "%s is no name for a zip file", file)
	}
	made, err := client.Bundle(ctx, t)
	if err != nil {
		return err
	}
	if err := environment.WriteFile(file, made.Zip); err != nil {
		return problem.Wrap(err, problem.Usage, "Name a file in a folder that you can write to.", "write the support bundle")
	}
	progress.end()
	answer := bundleAnswer{File: file, Bytes: len(made.Zip), Files: plan.Files}
	return p.answer(answer, func(w io.Writer) {
		fmt.Fprintf(w, "Wrote %s (%s), for you alone. It has:\n", file, size(uint64(len(made.Zip))))
		for _, f := range plan.Files {
			fmt.Fprintf(w, "  %-16s %s\n", f.Name, f.What)
		}
		fmt.Fprintln(w, "Look it through before you pass it on: names of hosts, users and workloads are in it.")
	})
}
