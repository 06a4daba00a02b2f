// SPDX-License-Identifier: Apache-2.0
// What people fill in to make an intercept, and the request that it means: pure functions.
import type { Program, Request, WorkloadPort } from '../../api/types'

/** A condition on a header, as it is filled in. */
export interface HeaderRow {
  name: string
  how: How
  value: string
}

export type How = 'exact' | 'prefix' | 'regex'

/** One port of the workload and where its traffic goes. */
export interface PortRow {
  /** A number, or what people wrote. */
  remote: string
  protocol: string
  /** A number, or what people wrote; empty is the same number. */
  local: string
}

export interface Form {
  namespace: string
  /** kind/name, or the name of a workload or Service. */
  workload: string
  /** At least one; the first is the one that most people need. */
  ports: PortRow[]
  whose: 'personal' | 'all'
  key: string
  path: string
  pathHow: How
  headers: HeaderRow[]
  mirror: boolean
  container: string
  redirect: string
  takeover: string
  expires: string
  address: string
}

export function emptyForm(namespace: string, workload: string): Form {
  return {
    namespace,
    workload,
    ports: [{ remote: '', protocol: 'TCP', local: '' }],
    whose: 'personal',
    key: '',
    path: '',
    pathHow: 'prefix',
    headers: [],
    mirror: false,
    container: '',
    redirect: '',
    takeover: '',
    expires: '',
    address: '',
  }
}

const signs: { [how in How]: string } = { exact: '=', prefix: '^=', regex: '~=' }

/** The request that a form means. What is empty is left out, so that the defaults are the same everywhere. */
export function requestOf(form: Form): Request {
  const request: Request = { workload: form.workload }
  if (form.namespace) request.namespace = form.namespace
  const ports = form.ports.filter((port) => port.remote.trim()).map(portText)
  if (ports.length > 0) request.ports = ports
  if (form.container) request.container = form.container
  if (form.address.trim()) request.address = form.address.trim()
  if (form.mirror) request.mirror = true
  if (form.redirect) request.redirect = form.redirect
  if (form.takeover) request.takeover = form.takeover
  if (form.expires.trim()) request.expires = form.expires.trim()
  if (form.whose === 'all') return { ...request, all: true }
  if (form.key.trim()) request.key = form.key.trim()
  if (form.path.trim()) request.path = signs[form.pathHow] + form.path.trim()
  const headers = form.headers.filter((h) => h.name.trim()).map((h) => h.name.trim() + signs[h.how] + h.value)
  if (headers.length > 0) request.headers = headers
  return request
}

function portText(port: PortRow): string {
  const protocol = port.protocol === 'UDP' ? '/udp' : ''
  return `${port.local.trim()}:${port.remote.trim()}${protocol}`
}

/** What is wrong with a form, by the field that it belongs to. The cluster may know of more. */
export interface Faults {
  [field: string]: string
}

export function faultsOf(form: Form): Faults {
  const faults: Faults = {}
  form.ports.forEach((port, i) => {
    if (!port.remote.trim()) faults[`remote-${i}`] = i === 0 ? 'Choose a port.' : 'Choose a port, or remove this one.'
    else if (/^\d+$/.test(port.remote.trim()) && !isPort(port.remote)) faults[`remote-${i}`] = 'A port is a number from 1 to 65535.'
    if (port.local.trim() && !isPort(port.local)) faults[`local-${i}`] = 'A port is a number from 1 to 65535.'
    else if (!port.local.trim() && !isPort(port.remote) && port.remote.trim()) faults[`local-${i}`] = 'Say which port on this laptop.'
  })
  if (form.whose === 'all') return faults
  const key = form.key.trim()
  if (key && !/^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/.test(key)) faults.key = 'Use letters, digits, and . _ - between them; at most 63.'
  if (form.path.trim() && form.pathHow !== 'regex' && !form.path.trim().startsWith('/')) faults.path = 'A path begins with a slash.'
  form.headers.forEach((h, i) => {
    if (h.name.trim() && !/^[A-Za-z0-9!#$%&'*+.^_|~-]+$/.test(h.name.trim())) faults[`header-${i}`] = 'A header name has letters, digits and dashes.'
    else if (!h.name.trim() && h.value.trim()) faults[`header-${i}`] = 'Name the header.'
  })
  if (!key && !form.path.trim() && !form.headers.some((h) => h.name.trim())) faults.key = 'Without a key, a header or a path, nothing tells your requests apart.'
  return faults
}

export function isPort(text: string): boolean {
  const trimmed = text.trim()
  return /^\d{1,5}$/.test(trimmed) && Number(trimmed) >= 1 && Number(trimmed) <= 65535
}

/** The port that most people want: one that a Service leads to, that nobody has, and that requests can be told apart in. */
export function bestPort(ports: readonly WorkloadPort[]): WorkloadPort | undefined {
  const score = (p: WorkloadPort) =>
    (p.protocol === 'TCP' ? 8 : 0) + (p.service ? 4 : 0) + (p.busy ? 0 : 2) + (p.tls ? 0 : 2) + (/^(http|web|api|grpc)/.test(p.name ?? '') ? 1 : 0)
  return [...ports].filter((p) => p.protocol !== 'SCTP').sort((a, b) => score(b) - score(a))[0]
}

/** The value that a port goes by in a form. */
export const portID = (p: { port: number; protocol: string }) => `${p.port}/${p.protocol}`

/** Programs to send a port's traffic to: those of its protocol, one for each port, the likeliest first. */
export function candidates(programs: readonly Program[], port: { remote: string; protocol: string }, workload: string, lastUsed?: string): Program[] {
  const byPort = new Map<number, Program>()
  for (const program of programs) {
    if (program.protocol !== port.protocol) continue
    const other = byPort.get(program.port)
    if (!other || (!other.name && program.name)) byPort.set(program.port, program)
  }
  const name = workload.split('/').pop()!.toLowerCase()
  const namesake = (p: Program) => p.name?.toLowerCase() === name || p.folder?.toLowerCase().split(/[/\\]/).pop() === name
  const score = (p: Program) =>
    (String(p.port) === lastUsed ? 32 : 0) +
    (namesake(p) ? 16 : 0) +
    (String(p.port) === port.remote ? 8 : 0) +
    (p.folder ? 4 : 0) +
    (p.name ? 2 : 0) +
    (p.port >= 1024 && p.port < 32768 ? 1 : 0)
  return [...byPort.values()].sort((a, b) => score(b) - score(a) || a.port - b.port)
}

/** Whether something listens on a local port, as far as one can know: not of another host. */
export function listening(programs: readonly Program[], local: string, protocol: string): boolean {
  return programs.some((p) => String(p.port) === local.trim() && p.protocol === protocol)
}

/** A folder as people write it; the user's home can only be guessed. */
export function shortFolder(folder: string): string {
  return folder.replace(/^\/(home|Users)\/[^/]+(?=\/|$)/, '~').replace(/^\/root(?=\/|$)/, '~')
}
