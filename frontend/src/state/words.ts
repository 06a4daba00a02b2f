// SPDX-License-Identifier: Apache-2.0
// What the page says of a status: a pure function of it.
import type { Status } from '../api/types'

/** How a state looks. The words say the same: colour is never the only sign. */
export type Tone = 'good' | 'busy' | 'bad' | 'idle'

export interface View {
  tone: Tone
  /** One word for the badge. */
  badge: string
  headline: string
  /** What it means, and what to do next. */
  next: string
  /** What the person can do now. */
  action: 'connect' | 'cancel' | 'disconnect' | 'none'
}

/**
 * The view of a status, which is undefined before the first one. lost says that the daemon is gone; signedOut, that it
 * does not know this browser.
 */
export function view(status: Status | undefined, lost: boolean, signedOut = false): View {
  if (signedOut) {
    return { tone: 'bad', badge: 'Signed out', headline: 'Open Fairlead again to sign in', next: "Run 'fairlead open' in a terminal, or start the Fairlead window.", action: 'none' }
  }
  if (lost) {
    return {
      tone: 'bad',
      badge: 'Offline',
      headline: 'Fairlead does not answer',
      next: "What this page knew may no longer be true. It goes on trying; if nothing changes, run 'fairlead open' in a terminal, or start the Fairlead window again.",
      action: 'none',
    }
  }
  if (!status) {
    return { tone: 'idle', badge: 'Looking', headline: 'Asking how things are', next: 'One moment.', action: 'none' }
  }
  const where = status.context || status.server || 'the cluster'
  switch (status.state) {
    case 'connected':
      return {
        tone: status.problem ? 'busy' : 'good',
        badge: 'Connected',
        headline: `Connected to ${where}`,
        next: `Services and pods answer on this laptop as they do in a pod${status.namespace ? ` of the namespace ${status.namespace}` : ''}. Use a Service's name as the host in any program.`,
        action: 'disconnect',
      }
    case 'connecting':
      return { tone: 'busy', badge: 'Connecting', headline: `Connecting to ${where}`, next: step(status, 'Nothing to do: it takes a second or two.'), action: 'cancel' }
    case 'reconnecting':
      return {
        tone: 'bad',
        badge: 'Reconnecting',
        headline: `Nothing gets through to ${where} at the moment`,
        next: step(status, 'Fairlead connects again by itself as soon as the cluster answers. Check the network of this laptop if it takes long.'),
        action: 'disconnect',
      }
    case 'disconnecting':
      return { tone: 'busy', badge: 'Disconnecting', headline: `Disconnecting from ${where}`, next: step(status, 'This laptop is being put back as it was.'), action: 'none' }
    default:
      return {
        tone: status.problem ? 'bad' : 'idle',
        badge: 'Not connected',
        headline: status.problem ? 'The last attempt failed' : 'Not connected',
        next: status.problem ? 'See below what went wrong and what to do about it. This laptop is as it was before.' : 'Choose a cluster and connect. Nothing on this laptop is changed until then.',
        action: 'connect',
      }
  }
}

function step(status: Status, otherwise: string): string {
  return status.step ? `${sentence(status.step)} ${otherwise}` : otherwise
}

/** Text as a sentence: a capital at the beginning unless a name such as a host's is there, a full stop at the end. */
export function sentence(text: string): string {
  const trimmed = text.trim()
  if (!trimmed) return ''
  const named = /^\S*[\d./:_@]\S/.test(trimmed)
  return (named ? trimmed[0]! : trimmed[0]!.toUpperCase()) + trimmed.slice(1) + (/[.!?…:]$/.test(trimmed) ? '' : '.')
}

/** A line of the details. */
export interface Detail {
  name: string
  /** What is true, short. */
  value: string
  /** Why, or more of it. */
  more?: string
  /** Values to list below each other, in type of fixed width. */
  list?: string[]
  warn?: boolean
}

/** The details of a session, those that are known. */
export function details(status: Status): Detail[] {
  const { carrier, gateway } = status
  const all: Detail[] = [
    { name: 'Names', ...dns(status) },
    { name: 'Reachable', value: count(status.routes?.length ?? 0, 'range', 'ranges'), list: status.routes },
    { name: 'This laptop', value: '', list: status.addresses, more: status.device ? `device ${status.device}${status.mtu ? `, MTU ${status.mtu}` : ''}` : undefined },
    { name: 'Gateway', value: [gateway.namespace, gateway.pod].filter(Boolean).join('/'), more: [gateway.version && `version ${gateway.version}`, carrier.endpoint && `at ${carrier.endpoint}`].filter(Boolean).join(', ') },
    { name: 'API server', value: status.server ?? '' },
    {
      name: 'Mapped',
      value: status.mappings?.length ? 'Clashing ranges have other addresses here' : '',
      list: status.mappings?.map((m) => `${m.range} as ${m.mapped}`),
      more: status.mappings?.map((m) => m.because).join(', '),
    },
  ]
  return all.filter((detail) => detail.value || detail.list?.length)
}

/** What people call the thing that names are set up through. */
const resolvers: Record<string, string> = {
  file: '/etc/resolv.conf',
  networkmanager: 'NetworkManager',
  'resolver-files': '/etc/resolver',
  nrpt: 'the name resolution policy table',
}

function dns({ dns: d, state }: Status): Omit<Detail, 'name'> {
  if (!d.mode) return { value: '' }
  const resolve = d.healthy && state !== 'reconnecting' // the gateway, which nothing reaches then, answers for them
  return {
    value: resolve ? 'Names of the cluster resolve' : `Names of the cluster do not resolve${d.healthy ? ' at the moment' : ''}`,
    more: [sentence(d.detail ?? ''), `Set up through ${resolvers[d.mode] ?? d.mode}${d.clusterDomain ? `, for ${[d.clusterDomain, ...(d.domains ?? [])].join(', ')}` : ''}.`].filter(Boolean).join(' '),
    warn: !resolve,
  }
}

function count(n: number, one: string, many: string): string {
  if (n === 0) return ''
  return n === 1 ? `1 ${one} of addresses` : `${n} ${many} of addresses`
}

/** A number of bytes for people, in units of 1024. */
export function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024
    unit++
  }
  return `${unit === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`
}

/** A number of bytes in a second. */
export const rate = (bytes: number) => `${size(bytes)}/s`

/** A duration for people: the largest unit that fits. */
export function span(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000))
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`
  const days = Math.floor(hours / 24)
  return days === 1 ? '1 day' : `${days} days`
}

/** How long ago a time was. */
export function ago(time: string | undefined, now: number): string {
  if (!time) return ''
  const past = now - Date.parse(time)
  return past < 5000 ? 'just now' : `${span(past)} ago`
}

/** Milliseconds for people. */
export const millis = (ms: number) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`

const programs = 'sudo|fairlead|kubectl|helm|systemctl|usermod|aws|gcloud|az'
const afterColon = new RegExp(`^(.*?): *((?:${programs}) .+?)(?:\\.?$|\\. (?=[A-Z])|; )(.*)$`)
const inQuotes = new RegExp(`'((?:${programs}) [^']+)'`)

export interface Hint {
  text: string
  /** What can be copied. */
  command?: string
  /** What is said behind the command. */
  after?: string
}

/** A hint, and the command in it that can be copied. */
export function hintParts(hint: string): Hint {
  const trimmed = hint.trim()
  const [, before, command, after] = afterColon.exec(trimmed) ?? []
  if (command) return { text: before === 'Run' ? 'Run this in a terminal:' : `${before}:`, command, ...(after && { after: sentence(after) }) }
  const quoted = inQuotes.exec(trimmed)
  return quoted ? { text: trimmed, command: quoted[1] } : { text: trimmed }
}

/** A count with its noun. */
export const plural = (n: number, one: string, many = `${one}s`) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`
