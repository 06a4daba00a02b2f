// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/diagnostics"
	"github.com/fairlead-dev/fairlead/backend/intercept"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/backend/settings"
	"github.com/fairlead-dev/fairlead/helper/client"
)

// operations joins the local API and the backend.
type operations struct {
	version string
	log     *slog.Logger
	manager *session.Manager
	helper  session.HelperDialer

	intercepts *intercept.Manager
	settings   *settings.Store

	board    *board
	desk     *desk
	audience *audience
	checks   checks
	askSoon  chan struct{} // the helper, how it is
	stop     context.CancelFunc
	followed sync.WaitGroup

	mu   sync.Mutex
	last session.Options // of what is connected
}

// NewOperations returns the real thing: the backend on this machine.
func NewOperations(version string, log *slog.Logger) (Operations, error) {
	file, err := settings.DefaultFile()
	if err != nil {
		return nil, err
	}
	helper := session.SystemHelper()
	intercepts := intercept.NewManager(log)
	o := &operations{
		version:    version,
		log:        log,
		helper:     helper,
		intercepts: intercepts,
		settings:   settings.NewStore(file),
		board:      newBoard(),
		askSoon:    make(chan struct{}, 1),
		manager:    session.NewManager(session.Dependencies{Version: version, Helper: helper, Log: log, Hooks: intercepts.Hooks()}),
	}
	o.desk = &desk{board: o.board}
	o.audience = &audience{run: o.lookOut}
	o.Settings()
	ctx, cancel := context.WithCancel(context.Background())
	o.stop = cancel
	o.followed.Go(func() { o.followSession(ctx) })
	o.followed.Go(func() { o.followHelper(ctx) })
	return o, nil
}

// Close disconnects, ends all watches and returns when everything is put back.
func (o *operations) Close() {
	o.manager.Close()
	o.stop()
	o.followed.Wait()
	o.audience.close()
	o.board.close()
}

func (o *operations) Status() localapi.Status { return o.manager.Status() }

func (o *operations) Watch(ctx context.Context) <-chan localapi.Status { return o.manager.Watch(ctx) }

func (o *operations) Snapshot() localapi.Snapshot {
	o.Settings() // somebody may have edited the file
	snapshot, _, _ := o.board.get()
	return snapshot
}

func (o *operations) WatchSnapshots(ctx context.Context) <-chan localapi.Snapshot {
	o.Settings()
	leave := o.audience.enter()
	context.AfterFunc(ctx, leave)
	return o.board.watch(ctx)
}

func (o *operations) Connect(ctx context.Context, r localapi.ConnectRequest) error {
	began := time.Now()
	r = withSettings(r, o.Settings())
	job := o.desk.begin(ctx, workConnect, "Connecting"+to(r.Context), r.Context)
	defer job.end()
	err := o.manager.Connect(ctx, r)
	if err == nil { // else what was connected before may still be
		o.mu.Lock()
		o.last = r
		o.mu.Unlock()
	}
	status := o.manager.Status()
	o.log.Info("connect", "context", status.Context, "namespace", status.Namespace, "carrier", status.Carrier.Active,
		"took", time.Since(began).Round(time.Millisecond), "error", err)
	return err
}

func to(context string) string {
	if context == "" {
		return ""
	}
	return " to " + context
}

// SwitchNamespace changes where short names resolve.
func (o *operations) SwitchNamespace(ctx context.Context, r localapi.NamespaceRequest) error {
	began := time.Now()
	job := o.desk.begin(ctx, workNamespace, "Switching to namespace "+r.Namespace, o.Status().Context)
	defer job.end()
	err := o.manager.SwitchNamespace(ctx, r.Namespace)
	if err == nil {
		o.mu.Lock()
		o.last.Namespace = r.Namespace
		o.mu.Unlock()
	}
	o.log.Info("switch namespace", "namespace", r.Namespace, "took", time.Since(began).Round(time.Millisecond), "error", err)
	return err
}

func (o *operations) Disconnect(ctx context.Context) error {
	began := time.Now()
	if status := o.Status(); status.State != session.Disconnected {
		defer o.desk.begin(ctx, workDisconnect, "Disconnecting", status.Context).end()
	}
	err := o.manager.Disconnect(ctx)
	o.log.Info("disconnect", "took", time.Since(began).Round(time.Millisecond), "error", err)
	return err
}

// here returns the cluster that t is about.
func (o *operations) here(t localapi.Target) localapi.Target {
	o.mu.Lock()
	last := o.last
	o.mu.Unlock()
	return targetWithSettings(resolveTarget(t, last, o.manager.Status()), o.Settings())
}

// isConnected reports whether there is a connection, be it in trouble.
func isConnected(s localapi.Status) bool {
	return s.State == session.Connected || s.State == session.Reconnecting
}

// resolveTarget returns t, or the connected cluster where t leaves the choice open. last is what was connected with.
func resolveTarget(t localapi.Target, last session.Options, status localapi.Status) localapi.Target {
	if !isConnected(status) || t.Explicit() {
		return t
	}
	now := localapi.TargetOf(last)
	now.Context, now.Namespace = status.Context, status.Namespace
	if t.Namespace != "" {
		now.Namespace = t.Namespace
	}
	if t.GatewayNamespace != "" {
		now.GatewayNamespace = t.GatewayNamespace
	}
	return now
}

func open(t localapi.Target) (*cluster.Access, error) { return cluster.Open(clusterOptions(t)) }

func clusterOptions(t localapi.Target) cluster.Options {
	return cluster.Options{
		Kubeconfigs: t.Kubeconfigs, Context: t.Context, Namespace: t.Namespace, As: t.As, AsGroups: t.AsGroups,
		Environment: t.Environment, WorkingDirectory: t.WorkingDirectory,
	}
}

func (o *operations) Workloads(ctx context.Context, r localapi.WorkloadsRequest) (localapi.Workloads, error) {
	access, err := open(o.here(r.Target))
	if err != nil {
		return localapi.Workloads{}, err
	}
	defer access.Close()
	namespace := access.Namespace()
	if r.AllNamespaces {
		namespace = ""
	}
	found, err := access.Workloads(ctx, namespace)
	o.addIntercepts(ctx, access, namespace, found)
	if err == nil && len(found) == 0 && namespace != "" {
		err = checkNamespace(ctx, access)
	}
	if found == nil {
		found = []localapi.Workload{}
	}
	return localapi.Workloads{Context: access.Context(), Namespace: namespace, Workloads: found}, err
}

// checkNamespace says so if there is no namespace of that name. Who may not look is not told.
func checkNamespace(ctx context.Context, access *cluster.Access) error {
	there, err := access.HasNamespace(ctx, access.Namespace())
	if there || err != nil {
		return nil
	}
	all, err := access.Namespaces(ctx)
	if err != nil {
		all = nil // they are only a hint
	}
	return session.NoNamespace(access.Namespace(), all)
}

func (o *operations) Contexts(_ context.Context, t localapi.Target) (localapi.Contexts, error) {
	found, err := cluster.Contexts(clusterOptions(targetWithSettings(t, o.Settings())))
	all := localapi.Contexts{Contexts: found}
	for _, c := range found {
		if c.Current {
			all.Current = c.Name
		}
	}
	return all, err
}

func (o *operations) Namespaces(ctx context.Context, t localapi.Target) (localapi.Namespaces, error) {
	access, err := open(o.here(t))
	if err != nil {
		return localapi.Namespaces{}, err
	}
	defer access.Close()
	found, err := access.Namespaces(ctx)
	return localapi.Namespaces{Namespaces: found}, err
}

func (o *operations) Doctor(ctx context.Context, t localapi.Target) (localapi.Report, error) {
	checks := diagnostics.Run(ctx, o.surroundings(t))
	report := localapi.Report{OK: true, Checks: checks}
	for _, check := range checks {
		report.OK = report.OK && check.Status != diagnostics.Fail
	}
	return report, ctx.Err()
}

// surroundings are what there is to look at when something does not work.
func (o *operations) surroundings(t localapi.Target) diagnostics.Environment {
	target := o.here(t)
	status := o.manager.Status()
	if !isConnected(status) {
		status = localapi.Status{}
	}
	return diagnostics.Environment{
		Version: o.version,
		Options: session.Options{
			Context: target.Context, Namespace: target.Namespace, Kubeconfigs: target.Kubeconfigs, As: target.As, AsGroups: target.AsGroups,
			GatewayNamespace: target.GatewayNamespace, Environment: target.Environment, WorkingDirectory: target.WorkingDirectory,
		},
		Status: status,
		Helper: o.helper,
	}
}

// helperTimeout bounds how long the helper may take to say how it is.
const helperTimeout = 3 * time.Second

func (o *operations) Helper(ctx context.Context) (localapi.Helper, error) {
	ctx, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	var h localapi.Helper
	err := o.askHelper(ctx, &h)
	if err != nil {
		h.Problem = problem.From(session.ExplainHelper(err))
		h.Running = !errors.Is(h.Problem, problem.New(problem.HelperMissing, "", ""))
	}
	return h, nil
}

func (o *operations) askHelper(ctx context.Context, h *localapi.Helper) error {
	helper, err := client.Dial(ctx, "")
	if err != nil {
		return err
	}
	defer helper.Close()
	v, err := helper.Version(ctx)
	if err != nil {
		return err
	}
	h.Running, h.Version, h.Compatible = true, v.Version, localapi.Compatible(o.version, v.Version)
	if !h.Compatible {
		return problem.New(problem.HelperVersion, "Bring the helper to the version of this program with: sudo fairlead helper install",
			"the helper is version %s, this is Fairlead %s", v.Version, o.version)
	}
	status, err := helper.Status(ctx)
	if err != nil {
		return err
	}
	h.State, h.User, h.Device = string(status.State), status.User, status.Device
	return nil
}
