// SPDX-License-Identifier: Apache-2.0
// The only caller of the local API: one typed function for each call. See app/localapi for what they mean.
import { type CallOptions, follow, get, operation, post, send } from './call'
import type {
  BundlePlan,
  Contexts,
  ContextState,
  Environment,
  EnvironmentFile,
  EnvironmentFileRequest,
  EnvironmentRequest,
  Gateway,
  GatewayPlan,
  GatewayRequest,
  Helper,
  Intercept,
  InterceptPreview,
  Intercepts,
  InterceptsRequest,
  Left,
  LeaveRequest,
  NamespaceRequest,
  Namespaces,
  Options,
  Problem,
  Programs,
  Records,
  Report,
  Request as InterceptRequest,
  Settings,
  Snapshot,
  Status,
  Target,
  TerminalRequest,
  Version,
  Workloads,
  WorkloadsRequest,
} from './types'

export { ProblemError, problemOf, tryNow, unknownBrowser, unreachable } from './call'
export type { CallOptions } from './call'
export type { InterceptRequest }

export const version = () => get<Version>('v1/version')
export const helper = () => get<Helper>('v1/helper')

/** Calls back with the whole snapshot now and on each change, and when the stream breaks. Returns what ends it. */
export const watch = (onSnapshot: (snapshot: Snapshot) => void, onLost: (why: Problem) => void) => follow('v1/watch', 'snapshot', onSnapshot, onLost)
/** Calls back with requests, those that are kept first; of one intercept, or of all without an ID. Returns what ends it. */
export const watchRequests = (intercept: string | undefined, onRecords: (records: Records) => void, onLost: (why: Problem) => void) =>
  follow(intercept ? `v1/requests/watch?intercept=${encodeURIComponent(intercept)}` : 'v1/requests/watch', 'records', onRecords, onLost)

export const contexts = (options?: CallOptions) => post<Contexts>('v1/contexts', {}, options)
export const checkContext = (target: Target, options?: CallOptions) => post<ContextState>('v1/contexts/check', target, options)
export const namespaces = (target: Target, options?: CallOptions) => post<Namespaces>('v1/namespaces', target, options)

/** Answers once connected. Cancel it by the name in options.call. */
export const connect = (request: Options, options?: CallOptions) => post<Status>('v1/connect', request, options)
/** Answers once everything is put back. */
export const disconnect = () => post<Status>('v1/disconnect', {})
/** Ends a call of that name, or the work of that ID. */
export const cancel = (call: string) => post<unknown>('v1/cancel', { call })
/** Changes where short names resolve, in the connection that there is. */
export const switchNamespace = (request: NamespaceRequest) => post<Status>('v1/namespace', request)

/** Says what an install or upgrade would do. */
export const gatewayPlan = (request: GatewayRequest, options?: CallOptions) => post<GatewayPlan>('v1/gateway/plan', request, options)
export const gatewayInstall = (request: GatewayRequest, onProgress: (message: string) => void, options?: CallOptions) =>
  operation<Gateway>('v1/gateway/install', request, onProgress, options)
export const gatewayUpgrade = (request: GatewayRequest, onProgress: (message: string) => void, options?: CallOptions) =>
  operation<Gateway>('v1/gateway/upgrade', request, onProgress, options)
export const gatewayUninstall = (request: GatewayRequest, onProgress: (message: string) => void, options?: CallOptions) =>
  operation<Gateway>('v1/gateway/uninstall', request, onProgress, options)

export const workloads = (request: WorkloadsRequest, options?: CallOptions) => post<Workloads>('v1/workloads', request, options)
/** Answers once the intercept is active. */
export const intercept = (request: InterceptRequest, onProgress: (message: string) => void, options?: CallOptions) =>
  operation<Intercept>('v1/intercept', request, onProgress, options)
/** Says what an intercept would do. */
export const interceptPreview = (request: InterceptRequest, options?: CallOptions) => post<InterceptPreview>('v1/intercept/preview', request, options)
export const intercepts = (request: InterceptsRequest, options?: CallOptions) => post<Intercepts>('v1/intercepts', request, options)
/** Answers once everything is put back. */
export const leave = (request: LeaveRequest, options?: CallOptions) => post<Left>('v1/leave', request, options)
/** What listens on this laptop. */
export const programs = (options?: CallOptions) => get<Programs>('v1/programs', options)

export const environment = (request: EnvironmentRequest, options?: CallOptions) => post<Environment>('v1/environment', request, options)
export const environmentFile = (request: EnvironmentFileRequest, options?: CallOptions) => post<EnvironmentFile>('v1/environment/file', request, options)
/** Opens a terminal on this laptop with that environment. */
export const terminal = (request: TerminalRequest) => post<unknown>('v1/terminal', request)

export const doctor = (target: Target, options?: CallOptions) => post<Report>('v1/doctor', target, options)
export const bundlePlan = (target: Target, options?: CallOptions) => post<BundlePlan>('v1/bundle/plan', target, options)
/** The support bundle, a zip file. */
export const bundle = async (target: Target, options?: CallOptions) => (await send('POST', 'v1/bundle', target, options)).blob()

export const settings = () => get<Settings>('v1/settings')
/** Replaces all settings, and answers with what they are then. */
export const saveSettings = (settings: Settings) => post<Settings>('v1/settings', settings)
