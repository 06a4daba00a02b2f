// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/diagnostics"
	"github.com/fairlead-dev/fairlead/backend/environment"
	"github.com/fairlead-dev/fairlead/backend/programs"
	"github.com/fairlead-dev/fairlead/backend/terminal"
)

func (o *operations) InterceptPreview(ctx context.Context, r localapi.InterceptRequest) (localapi.InterceptPreview, error) {
	p, err := o.intercepts.Preview(ctx, r)
	if err != nil {
		return localapi.InterceptPreview{}, err
	}
	answer := localapi.InterceptPreview{
		Workload: localapi.InterceptedWorkload{
			Namespace: p.Workload.Namespace, Kind: p.Workload.Kind, Name: p.Workload.Name, Pods: p.Workload.Pods, Containers: p.Workload.Containers,
			Ports: []localapi.WorkloadPort{},
		},
		Header: p.Header, Baggage: p.Baggage, Curl: p.Curl, Share: p.Share, Touches: p.Touches, Warnings: p.Warnings, Problem: p.Problem, Key: p.Key,
	}
	for _, port := range p.Workload.Ports {
		answer.Workload.Ports = append(answer.Workload.Ports, localapi.WorkloadPort(port))
	}
	return answer, nil
}

func (o *operations) Programs(ctx context.Context) (localapi.Programs, error) {
	found, note, err := programs.List(ctx, o.manager.Status().Addresses)
	return localapi.Programs{Programs: found, Note: note}, err
}

func (o *operations) WatchRecords(ctx context.Context, intercept string) <-chan localapi.Records {
	batches := o.intercepts.Records().Watch(ctx, intercept)
	out := make(chan localapi.Records)
	go func() {
		defer close(out)
		for batch := range batches {
			select {
			case out <- localapi.Records{Records: batch.Records, Dropped: batch.Dropped}:
			case <-ctx.Done():
			}
		}
	}()
	return out
}

// fileNames are what files of variables are usually called.
var fileNames = map[environment.Format]string{
	environment.Docker: ".env", environment.Compose: "environment.yaml", environment.Shell: "environment.sh", environment.JSON: "environment.json",
}

func (o *operations) EnvironmentFile(ctx context.Context, r localapi.EnvironmentFileRequest) (localapi.EnvironmentFile, error) {
	format, err := environment.ParseFormat(r.Format)
	if err != nil {
		return localapi.EnvironmentFile{}, err
	}
	found, err := o.Environment(ctx, r.EnvironmentRequest)
	if err != nil {
		return localapi.EnvironmentFile{}, err
	}
	text, _, err := environment.Render(format, shown(found.Variables, r.Secrets))
	if err != nil {
		return localapi.EnvironmentFile{}, err
	}
	return localapi.EnvironmentFile{Name: fileNames[format], Text: string(text)}, nil
}

// shown are the variables without those that are secret, unless those are wanted: an empty value would be a wrong one.
func shown(variables []environment.Variable, secrets bool) []environment.Variable {
	return slices.DeleteFunc(slices.Clone(variables), func(v environment.Variable) bool { return v.Secret && !secrets })
}

func (o *operations) Terminal(ctx context.Context, r localapi.TerminalRequest) error {
	found, err := o.Environment(ctx, r.EnvironmentRequest)
	if err != nil {
		return err
	}
	var variables []terminal.Variable
	for _, v := range shown(found.Variables, r.Secrets) {
		variables = append(variables, terminal.Variable{Name: v.Name, Value: v.Value})
	}
	name := strings.ToLower(found.Workload.Kind) + "/" + found.Workload.Name
	return terminal.Open(ctx, terminal.Options{
		Program: o.Settings().Terminal, Environment: r.Target.Environment, Folder: r.Target.WorkingDirectory, Variables: variables,
		Greeting: fmt.Sprintf("This shell has the environment of %s in namespace %s (%s).", name, found.Namespace, found.Context),
	})
}

func (o *operations) BundlePlan(ctx context.Context, t localapi.Target) (localapi.BundlePlan, error) {
	files, now := o.collect(ctx, t)
	plan := localapi.BundlePlan{Name: diagnostics.BundleName(now), Files: []localapi.BundleFile{}}
	for _, f := range files {
		text := f.Text[:min(len(f.Text), mostPreview)]
		plan.Files = append(plan.Files, localapi.BundleFile{Name: f.Name, What: f.What, Bytes: len(f.Text), Preview: strings.ToValidUTF8(string(text), "")})
	}
	return plan, ctx.Err()
}

// mostPreview is how much of a file the plan of a bundle shows, in bytes.
const mostPreview = 2 << 10

func (o *operations) Bundle(ctx context.Context, t localapi.Target) (localapi.Bundle, error) {
	files, now := o.collect(ctx, t)
	name := diagnostics.BundleName(now)
	zip, err := diagnostics.Zip(files, name, now)
	return localapi.Bundle{Name: name, Zip: zip}, err
}

// collect makes the files of a support bundle.
func (o *operations) collect(ctx context.Context, t localapi.Target) ([]diagnostics.File, time.Time) {
	env := diagnostics.BundleEnvironment{Environment: o.surroundings(t), Snapshot: o.Snapshot(), Now: time.Now()}
	if file, err := LogFile(); err == nil {
		env.LogFile = file
	}
	return diagnostics.Bundle(ctx, env), env.Now
}
