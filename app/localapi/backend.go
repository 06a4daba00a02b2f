// SPDX-License-Identifier: Apache-2.0

package localapi

import "context"

// Backend is what the Handler serves.
type Backend interface {
	Operations
	Version() Version
	// Calls are those under way, of all faces.
	Calls() *Calls
	// Page makes an address under which a browser opens the page once.
	Page(ctx context.Context, r PageRequest) (Page, error)
	// Quit disconnects and makes the daemon end after the call was answered.
	Quit(ctx context.Context) error
}

// Operations do the work on clusters and on this machine. All methods may be called at the same time. Cancelling ctx
// cancels the work. Errors that are meant for people are *problem.Problem; any other is shown as an internal one.
type Operations interface {
	Traffic

	Status() Status
	// Watch sends the status now and on each change, until ctx is done; then it closes the channel.
	Watch(ctx context.Context) <-chan Status
	// Snapshot is all that a face shows without asking; who it is of (DaemonInfo) is left out.
	Snapshot() Snapshot
	// WatchSnapshots sends the Snapshot now and on each change, at most ten in a second, until ctx is done; then it closes
	// the channel. While there is one, more is looked at than what the session itself needs.
	WatchSnapshots(ctx context.Context) <-chan Snapshot
	// Connect returns when the session is connected.
	Connect(ctx context.Context, r ConnectRequest) error
	// Disconnect returns when everything is put back. It is idempotent.
	Disconnect(ctx context.Context) error
	// SwitchNamespace changes where short names resolve, and returns when they do. Nothing else of the connection changes.
	SwitchNamespace(ctx context.Context, r NamespaceRequest) error
	Workloads(ctx context.Context, r WorkloadsRequest) (Workloads, error)
	Contexts(ctx context.Context, t Target) (Contexts, error)
	// ContextState answers within a few seconds, also of a cluster that does not.
	ContextState(ctx context.Context, t Target) (ContextState, error)
	Namespaces(ctx context.Context, t Target) (Namespaces, error)
	Doctor(ctx context.Context, t Target) (Report, error)
	Helper(ctx context.Context) (Helper, error)
	GatewayStatus(ctx context.Context, t Target) (Gateway, error)
	// GatewayPlan says what an install or upgrade would do.
	GatewayPlan(ctx context.Context, r GatewayRequest) (GatewayPlan, error)
	// The gateway operations report each step in words to progress.
	GatewayInstall(ctx context.Context, r GatewayRequest, progress func(string)) (Gateway, error)
	GatewayUpgrade(ctx context.Context, r GatewayRequest, progress func(string)) (Gateway, error)
	GatewayUninstall(ctx context.Context, r GatewayRequest, progress func(string)) (Gateway, error)

	// Intercept returns when the intercept is active, and reports each step in words to progress.
	Intercept(ctx context.Context, r InterceptRequest, progress func(string)) (Intercept, error)
	// Attend calls each with an intercept of this laptop on each change, and returns why it ended. It leaves it when ctx is
	// done.
	Attend(ctx context.Context, id string, each func(Intercept)) string
	Intercepts(ctx context.Context, r InterceptsRequest) (Intercepts, error)
	// Leave returns when everything is put back.
	Leave(ctx context.Context, r LeaveRequest) (Left, error)
	Environment(ctx context.Context, r EnvironmentRequest) (Environment, error)

	Settings() Settings
	// SaveSettings replaces all settings, and returns what they are then.
	SaveSettings(ctx context.Context, s Settings) (Settings, error)
}
