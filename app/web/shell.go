// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"slices"
	"strings"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// kubeconfigVariable is how a variable of the environment begins that names kubeconfig files.
const kubeconfigVariable = "KUBECONFIG="

// fromShell is a Backend that takes the environment and the folder of a shell for requests without them: a browser has
// neither, and kubeconfigs and credential plugins are found by them.
type fromShell struct {
	localapi.Backend
	shell localapi.PageRequest
}

func (f fromShell) target(t localapi.Target) localapi.Target {
	if len(t.Environment) == 0 && t.WorkingDirectory == "" {
		t.Environment, t.WorkingDirectory = f.environment(), f.shell.WorkingDirectory
	}
	return t
}

// environment is that of the shell. On the page, kubeconfig files of the settings go before what some shell said when the page
// was opened: that is where people who use the page choose them.
func (f fromShell) environment() []string {
	if len(f.Backend.Settings().Kubeconfigs) == 0 {
		return f.shell.Environment
	}
	return slices.DeleteFunc(slices.Clone(f.shell.Environment), func(v string) bool { return strings.HasPrefix(v, kubeconfigVariable) })
}

func (f fromShell) Connect(ctx context.Context, r localapi.ConnectRequest) error {
	if len(r.Environment) == 0 && r.WorkingDirectory == "" {
		r.Environment, r.WorkingDirectory = f.environment(), f.shell.WorkingDirectory
	}
	return f.Backend.Connect(ctx, r)
}

// Intercept refuses those that end with the program that asks: a browser is none.
func (f fromShell) Intercept(ctx context.Context, r localapi.InterceptRequest, progress func(string)) (localapi.Intercept, error) {
	if r.Attached {
		return localapi.Intercept{}, problem.New(problem.Usage, "Leave out 'attached'.", "a page can't hold an intercept; it lasts until it is left")
	}
	return f.Backend.Intercept(ctx, r, progress)
}

func (f fromShell) ContextState(ctx context.Context, t localapi.Target) (localapi.ContextState, error) {
	return f.Backend.ContextState(ctx, f.target(t))
}

func (f fromShell) GatewayPlan(ctx context.Context, r localapi.GatewayRequest) (localapi.GatewayPlan, error) {
	r.Target = f.target(r.Target)
	return f.Backend.GatewayPlan(ctx, r)
}

func (f fromShell) Workloads(ctx context.Context, r localapi.WorkloadsRequest) (localapi.Workloads, error) {
	r.Target = f.target(r.Target)
	return f.Backend.Workloads(ctx, r)
}

func (f fromShell) Contexts(ctx context.Context, t localapi.Target) (localapi.Contexts, error) {
	return f.Backend.Contexts(ctx, f.target(t))
}

func (f fromShell) Namespaces(ctx context.Context, t localapi.Target) (localapi.Namespaces, error) {
	return f.Backend.Namespaces(ctx, f.target(t))
}

func (f fromShell) Doctor(ctx context.Context, t localapi.Target) (localapi.Report, error) {
	return f.Backend.Doctor(ctx, f.target(t))
}

func (f fromShell) GatewayStatus(ctx context.Context, t localapi.Target) (localapi.Gateway, error) {
	return f.Backend.GatewayStatus(ctx, f.target(t))
}

func (f fromShell) GatewayInstall(ctx context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
	r.Target = f.target(r.Target)
	return f.Backend.GatewayInstall(ctx, r, progress)
}

func (f fromShell) GatewayUpgrade(ctx context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
	r.Target = f.target(r.Target)
	return f.Backend.GatewayUpgrade(ctx, r, progress)
}

func (f fromShell) GatewayUninstall(ctx context.Context, r localapi.GatewayRequest, progress func(string)) (localapi.Gateway, error) {
	r.Target = f.target(r.Target)
	return f.Backend.GatewayUninstall(ctx, r, progress)
}

func (f fromShell) Intercepts(ctx context.Context, r localapi.InterceptsRequest) (localapi.Intercepts, error) {
	r.Target = f.target(r.Target)
	return f.Backend.Intercepts(ctx, r)
}

func (f fromShell) Leave(ctx context.Context, r localapi.LeaveRequest) (localapi.Left, error) {
	r.Target = f.target(r.Target)
	return f.Backend.Leave(ctx, r)
}

func (f fromShell) Environment(ctx context.Context, r localapi.EnvironmentRequest) (localapi.Environment, error) {
	r.Target = f.target(r.Target)
	return f.Backend.Environment(ctx, r)
}

func (f fromShell) EnvironmentFile(ctx context.Context, r localapi.EnvironmentFileRequest) (localapi.EnvironmentFile, error) {
	r.Target = f.target(r.Target)
	return f.Backend.EnvironmentFile(ctx, r)
}

func (f fromShell) Terminal(ctx context.Context, r localapi.TerminalRequest) error {
	r.Target = f.target(r.Target)
	return f.Backend.Terminal(ctx, r)
}

func (f fromShell) BundlePlan(ctx context.Context, t localapi.Target) (localapi.BundlePlan, error) {
	return f.Backend.BundlePlan(ctx, f.target(t))
}

func (f fromShell) Bundle(ctx context.Context, t localapi.Target) (localapi.Bundle, error) {
	return f.Backend.Bundle(ctx, f.target(t))
}

// Page lets the page hand its own shell on.
func (f fromShell) Page(ctx context.Context, r localapi.PageRequest) (localapi.Page, error) {
	if len(r.Environment) == 0 && r.WorkingDirectory == "" {
		r = f.shell
	}
	return f.Backend.Page(ctx, r)
}
