// SPDX-License-Identifier: Apache-2.0
// Made of the Go types by: go test ./app/localapi -run Types -update

export type State = 'disconnected' | 'connecting' | 'connected' | 'reconnecting' | 'disconnecting'

export interface Problem {
  code: string
  message: string
  hint?: string
  details?: string[]
}

export type CarrierMode = 'auto' | 'udp' | 'relay'

export interface CarrierStatus {
  mode?: CarrierMode
  active?: string
  reason?: string
  rttMs?: number
  lastAnswer?: string
  endpoint?: string
}

export interface GatewayStatus {
  namespace?: string
  pod?: string
  version?: string
}

export interface Mapping {
  range: string
  mapped: string
  because: string
}

export interface DNSStatus {
  mode?: string
  healthy: boolean
  detail?: string
  clusterDomain?: string
  domains?: string[]
}

export interface InterceptWorkload {
  kind: string
  name: string
  container?: string
}

export interface InterceptedPort {
  port: number
  protocol: string
  local?: string
  listening: boolean
}

export interface Condition {
  header?: string
  how: string
  value: string
}

export interface InterceptPod {
  name: string
  covered: boolean
  message?: string
  bypassing?: number
}

export interface InterceptCounts {
  matched: number
  passed: number
  fallenBack: number
  unreadable: number
}

export interface Intercept {
  name: string
  namespace: string
  id: string
  user: string
  mine: boolean
  workload: InterceptWorkload
  phase?: string
  message?: string
  ports: InterceptedPort[] | null
  all?: boolean
  key?: string
  where?: Condition[]
  path?: Condition
  mirror?: boolean
  header?: string
  baggage?: string
  curl?: string
  share?: string
  redirect?: string
  redirectReason?: string
  podsReady: number
  podsCovered: number
  pods?: InterceptPod[]
  counts: InterceptCounts
  created?: string
  since?: string
  expires?: string
  silentSince?: string
  notes?: string[]
  attached?: boolean
  leaving?: boolean
}

export interface Status {
  state: State
  step?: string
  problem?: Problem
  context?: string
  server?: string
  user?: string
  namespace?: string
  since?: string
  carrier: CarrierStatus
  gateway: GatewayStatus
  addresses?: string[]
  routes?: string[]
  mappings?: Mapping[]
  dns: DNSStatus
  device?: string
  mtu?: number
  received: number
  sent: number
  notes?: string[]
  connection?: string
  intercepts?: Intercept[]
}

export interface Options {
  context?: string
  namespace?: string
  kubeconfigs?: string[]
  as?: string
  asGroups?: string[]
  carrier?: CarrierMode
  include?: string[]
  exclude?: string[]
  dnsDomains?: string[]
  dnsExclude?: string[]
  mapConflicts?: boolean
  gatewayNamespace?: string
  environment?: string[]
  workingDirectory?: string
}

export interface Target {
  context?: string
  namespace?: string
  kubeconfigs?: string[]
  as?: string
  asGroups?: string[]
  gatewayNamespace?: string
  environment?: string[]
  workingDirectory?: string
}

export interface Context {
  name: string
  cluster: string
  server?: string
  user?: string
  namespace?: string
  current: boolean
}

export interface Contexts {
  current?: string
  contexts: Context[] | null
}

export interface Namespaces {
  namespaces: string[] | null
}

export interface Version {
  version: string
  pid: number
  started: string
  socket?: string
  log?: string
}

export interface Helper {
  running: boolean
  version?: string
  compatible: boolean
  state?: string
  user?: string
  device?: string
  problem?: Problem
}

export interface Failure {
  error: Problem | null
}

export interface WorkloadsRequest {
  context?: string
  namespace?: string
  kubeconfigs?: string[]
  as?: string
  asGroups?: string[]
  gatewayNamespace?: string
  environment?: string[]
  workingDirectory?: string
  allNamespaces?: boolean
}

export interface Port {
  name?: string
  port: number
  protocol: string
  container?: string
}

export interface ServicePort {
  service: string
  name?: string
  port: number
  protocol: string
  appProtocol?: string
}

export interface WorkloadIntercept {
  name: string
  user: string
  what: string
  phase?: string
}

export interface Workload {
  namespace: string
  kind: string
  name: string
  ready: number
  desired: number
  ports?: Port[]
  services?: string[]
  servicePorts?: ServicePort[]
  state: string
  message?: string
  intercepts?: WorkloadIntercept[]
}

export interface Workloads {
  context: string
  namespace?: string
  workloads: Workload[] | null
}

export type Result = 'ok' | 'warn' | 'fail' | 'skip'

export interface Check {
  name: string
  title: string
  status: Result
  message: string
  hint?: string
}

export interface Report {
  ok: boolean
  checks: Check[] | null
}

export interface GatewayRequest {
  context?: string
  namespace?: string
  kubeconfigs?: string[]
  as?: string
  asGroups?: string[]
  gatewayNamespace?: string
  environment?: string[]
  workingDirectory?: string
  values?: unknown
  image?: string
  serviceType?: string
  force?: boolean
}

export interface GatewayPod {
  name: string
  node?: string
  state?: string
  ready: boolean
  active: boolean
}

export interface GatewayUser {
  user: string
  host?: string
  namespace?: string
  phase?: string
  carrier?: string
  since?: string
}

export interface Gateway {
  context?: string
  namespace: string
  installed: boolean
  ready: boolean
  version?: string
  image?: string
  serviceType?: string
  udpPort?: number
  endpoints?: string[]
  pods?: GatewayPod[]
  connected?: GatewayUser[]
  notes?: string[]
}

export interface Request {
  workload: string
  namespace?: string
  ports?: string[]
  container?: string
  address?: string
  all?: boolean
  headers?: string[]
  path?: string
  key?: string
  mirror?: boolean
  redirect?: string
  takeover?: string
  expires?: string
  attached?: boolean
}

export interface InterceptsRequest {
  context?: string
  namespace?: string
  kubeconfigs?: string[]
  as?: string
  asGroups?: string[]
  gatewayNamespace?: string
  environment?: string[]
  workingDirectory?: string
  allNamespaces?: boolean
  mine?: boolean
}

export interface Intercepts {
  context: string
  namespace?: string
  intercepts: Intercept[] | null
}

export interface LeaveRequest {
  context?: string
  namespace?: string
  kubeconfigs?: string[]
  as?: string
  asGroups?: string[]
  gatewayNamespace?: string
  environment?: string[]
  workingDirectory?: string
  names?: string[]
  all?: boolean
  owner?: string
}

export interface LeftIntercept {
  name: string
  namespace: string
  user: string
  workload: InterceptWorkload
  notes?: string[]
}

export interface Left {
  left: LeftIntercept[] | null
}

export interface EnvironmentRequest {
  context?: string
  namespace?: string
  kubeconfigs?: string[]
  as?: string
  asGroups?: string[]
  gatewayNamespace?: string
  environment?: string[]
  workingDirectory?: string
  workload: string
  container?: string
  secrets?: boolean
}

export interface Variable {
  name: string
  value: string
  source: string
  secret?: boolean
}

export interface Missing {
  name?: string
  source: string
  why: string
}

export interface Environment {
  context: string
  namespace: string
  workload: InterceptWorkload
  container: string
  pod?: string
  variables: Variable[] | null
  missing?: Missing[]
  notes?: string[]
}

export interface Progress {
  message: string
}

export interface CancelRequest {
  call: string
}

export interface Ended {
  message: string
}

export interface DaemonInfo {
  version: string
  started: string
  log?: string
}

export interface Work {
  id: string
  what: string
  title: string
  step?: string
  began: string
  context?: string
  stoppable?: boolean
}

export interface Fix {
  action: string
  label: string
  context?: string
  intercept?: string
  command?: string
}

export interface Trouble {
  problem: Problem
  where?: string
  since: string
  fix?: Fix
}

export type Kind = 'connection' | 'carrier' | 'dns' | 'intercept' | 'gateway' | 'helper' | 'settings'

export type Level = 'info' | 'good' | 'warning' | 'trouble'

export interface Event {
  id: number
  time: string
  kind: Kind
  level: Level
  text: string
  hint?: string
  where?: string
  name?: string
  notify?: boolean
}

export type Theme = 'system' | 'light' | 'dark'

export interface Settings {
  kubeconfigs?: string[]
  carrier?: string
  include?: string[]
  exclude?: string[]
  dnsDomains?: string[]
  dnsExclude?: string[]
  mapConflicts?: boolean
  gatewayNamespace?: string
  autostart?: boolean
  connectAtStart?: string
  theme?: Theme
  quiet?: boolean
  terminal?: string
}

export interface Snapshot {
  revision: number
  daemon: DaemonInfo
  session: Status
  helper: Helper
  everyone: Intercept[] | null
  workloads: number
  work: Work[] | null
  problems: Trouble[] | null
  activity: Event[] | null
  settings: Settings
}

export interface Program {
  port: number
  protocol: string
  address: string
  pid?: number
  name?: string
  command?: string
  folder?: string
}

export interface Programs {
  programs: Program[] | null
  note?: string
}

export interface Record {
  number: number
  intercept: string
  time: string
  protocol: string
  method?: string
  path?: string
  host?: string
  status?: number
  grpcStatus?: string
  ms?: number
  open?: boolean
  went: string
  why?: string
  client?: string
  received: number
  sent: number
}

export interface Records {
  records: Record[] | null
  dropped?: number
}

export interface ContextState {
  context: string
  reachable: boolean
  ms?: number
  version?: string
  user?: string
  gateway?: string
  gatewayBy?: string
  mayInstall?: boolean
  problem?: Problem
}

export interface PlannedObject {
  kind: string
  name: string
  namespace?: string
  what: string
  why?: string
}

export interface MissingRight {
  verb: string
  resource: string
  namespace?: string
  hint?: string
}

export interface GatewayPlan {
  context: string
  namespace: string
  version: string
  image: string
  objects: PlannedObject[] | null
  missing: MissingRight[] | null
}

export interface WorkloadPort {
  name?: string
  port: number
  protocol: string
  container?: string
  service?: string
  tls?: boolean
  busy?: string
}

export interface InterceptedWorkload {
  namespace: string
  kind: string
  name: string
  pods: number
  containers: string[] | null
  ports: WorkloadPort[] | null
}

export interface InterceptPreview {
  workload: InterceptedWorkload
  header?: string
  baggage?: string
  curl?: string
  share?: string
  touches: string[] | null
  warnings: string[] | null
  problem?: Problem
  key?: string
}

export interface EnvironmentFileRequest {
  context?: string
  namespace?: string
  kubeconfigs?: string[]
  as?: string
  asGroups?: string[]
  gatewayNamespace?: string
  environment?: string[]
  workingDirectory?: string
  workload: string
  container?: string
  secrets?: boolean
  format: string
}

export interface EnvironmentFile {
  name: string
  text: string
}

export interface TerminalRequest {
  context?: string
  namespace?: string
  kubeconfigs?: string[]
  as?: string
  asGroups?: string[]
  gatewayNamespace?: string
  environment?: string[]
  workingDirectory?: string
  workload: string
  container?: string
  secrets?: boolean
}

export interface NamespaceRequest {
  namespace: string
}

export interface BundleFile {
  name: string
  what: string
  bytes: number
  preview: string
}

export interface BundlePlan {
  name: string
  files: BundleFile[] | null
}
