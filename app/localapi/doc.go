// SPDX-License-Identifier: Apache-2.0

// Package localapi is the local API: everything a face (command line, window, tray, browser) can do, as JSON over
// HTTP/1.1 on a socket that only the user can reach.
//
// It owns the types on the wire, the client, the http.Handler and the socket with its check of who is calling. The
// Handler works on a Backend, which the daemon provides. The package must not hold state of its own but the calls under
// way, and must not do any work on clusters or on the machine.
//
// # Calls
//
// Requests with a body are POST with Content-Type application/json; unknown fields are refused. A reply is the JSON
// type named below. A failure is {"error": Problem} with an HTTP status that goes with its code. Closing the request
// cancels what it asked for.
//
//	GET  /v1/version            Version
//	GET  /v1/status             Status
//	GET  /v1/status/watch       server-sent events "status": Status now and on each change
//	GET  /v1/snapshot           Snapshot
//	GET  /v1/watch              server-sent events "snapshot": Snapshot now and on each change, at most ten in a second
//	POST /v1/connect            ConnectRequest -> Status, once connected
//	POST /v1/cancel             CancelRequest -> {}: cancels the call with that name in the header Fairlead-Call (connect, intercept and the
//	                            changes of gateways), or the Work of that ID. Its own answer says what came of it
//	POST /v1/disconnect         Status, once everything is put back
//	POST /v1/namespace          NamespaceRequest -> Status, once short names resolve there
//	POST /v1/workloads          WorkloadsRequest -> Workloads
//	POST /v1/contexts           Target -> Contexts
//	POST /v1/contexts/check     Target -> ContextState, within seconds
//	POST /v1/namespaces         Target -> Namespaces
//	POST /v1/doctor             Target -> Report
//	GET  /v1/helper             Helper
//	POST /v1/gateway/status     Target -> Gateway
//	POST /v1/gateway/plan       GatewayRequest -> GatewayPlan: what an install or upgrade would do
//	POST /v1/gateway/install    GatewayRequest -> server-sent events "progress": Progress, then "result": Gateway or "error": Problem
//	POST /v1/gateway/upgrade    the same
//	POST /v1/gateway/uninstall  the same; "result" is the Gateway that was removed
//	POST /v1/intercept          InterceptRequest -> server-sent events "progress": Progress, then "result": Intercept or "error": Problem.
//	                            Of an attached one the events go on with "intercept": Intercept on each change, and "ended": Ended;
//	                            closing the request leaves it. POST /v1/cancel works here, too, until there is a result
//	POST /v1/intercepts         InterceptsRequest -> Intercepts
//	POST /v1/leave              LeaveRequest -> Left
//	POST /v1/environment        EnvironmentRequest -> Environment
//	GET  /v1/settings           Settings
//	POST /v1/settings           Settings -> Settings: replaces them all
//	POST /v1/page               PageRequest -> Page
//	POST /v1/quit               {} once everything is put back; the daemon then ends
package localapi
