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
