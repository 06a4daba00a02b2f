// SPDX-License-Identifier: Apache-2.0
// What the page says of intercepts and of requests: pure functions of them.
import type { Condition, Intercept, Record as Request } from '../../api/types'
import { sentence, span, type Tone } from '../../state/words'

export interface Health {
  tone: Tone
  /** A word or two for the pill. */
  label: string
  /** What it means for requests now, as a sentence. */
  text: string
}

/** The name of a user that people go by: ana of ana@example.com, ci of system:serviceaccount:build:ci. */
export function shortUser(user: string): string {
  const [name] = user.split('@')
  return name!.split(/[:/\\#]/).pop() || user
}

const signs: { [how: string]: string } = { exact: '=', prefix: '^=', regex: '~=' }
const verbs: { [how: string]: string } = { exact: 'is', prefix: 'begins with', regex: 'matches' }

const shortCondition = (what: string, c: Condition) => `${what}${signs[c.how] ?? '='}${c.value}`

/** Which requests an intercept is for, in a few words. */
export function whatOf(i: Pick<Intercept, 'all' | 'key' | 'where' | 'path' | 'mirror'>): string {
  const parts = []
  if (i.key) parts.push(`x-fairlead: ${i.key}`)
  for (const c of i.where ?? []) parts.push(shortCondition(c.header ?? '', c))
  if (i.path) parts.push(shortCondition('path ', i.path))
  const what = i.all ? 'all traffic' : parts.join(', ')
  return i.mirror ? `${what} (copy)` : what
}

/** The conditions of an intercept, each as words that follow "requests with". */
export function conditions(i: Pick<Intercept, 'all' | 'key' | 'where' | 'path'>): string[] {
  if (i.all) return []
  const all = []
  if (i.key) all.push(`the header x-fairlead: ${i.key}, or baggage: fairlead=${i.key}`)
  for (const c of i.where ?? []) all.push(`a header ${c.header} that ${verbs[c.how] ?? 'is'} ${c.value}`)
  if (i.path) all.push(`a path that ${verbs[i.path.how] ?? 'is'} ${i.path.value}`)
  return all
}

/** The local addresses that nothing answers at. */
export function silentPorts(i: Intercept): string[] {
  return i.mine ? (i.ports ?? []).filter((p) => p.local && !p.listening).map((p) => p.local!) : []
}

/** Where an intercept stands. leaving: this page has asked to end it. */
export function health(i: Intercept, leaving = false): Health {
  const because = sentence(i.message ?? '')
  if (leaving) return { tone: 'busy', label: 'Leaving', text: 'The redirect is being taken away.' }
  switch (i.phase ?? '') {
    case 'Active': {
      const silent = silentPorts(i)
      if (silent.length > 0) {
        const meanwhile = i.mirror ? 'copies go nowhere meanwhile' : 'requests go to the cluster meanwhile'
        return { tone: 'busy', label: 'Nothing listens', text: `Nothing listens on ${silent.join(' and ')}; ${meanwhile}.` }
      }
      if (i.silentSince) return { tone: 'busy', label: 'Laptop silent', text: 'Its laptop does not answer; requests go to the cluster meanwhile.' }
      if (i.podsCovered < i.podsReady)
        return { tone: 'busy', label: 'Partly active', text: because || `${i.podsCovered} of ${i.podsReady} pods are covered; requests to the others go to the app.` }
      return { tone: 'good', label: 'Active', text: because }
    }
    case 'Suspended':
      return { tone: 'busy', label: 'Suspended', text: because || `${i.mirror ? 'Copies go nowhere' : 'Requests go to the cluster'} meanwhile.` }
    case 'Refused':
      return { tone: 'bad', label: 'Refused', text: because || 'The gateway refused it.' }
    case 'Ended':
      return { tone: 'idle', label: 'Ended', text: because || 'Requests go to the cluster.' }
  }
  return { tone: 'busy', label: 'Waiting', text: because || 'Waiting for the pods to confirm.' }
}

/** Where a port's traffic goes, such as "8080 → 127.0.0.1:3000". */
export function portWords(p: { port: number; protocol: string; local?: string }): { from: string; to: string } {
  return { from: p.protocol === 'TCP' ? String(p.port) : `${p.port}/${p.protocol.toLowerCase()}`, to: p.local ?? 'a laptop' }
}

/** Where a request went. */
export function wentWords(r: Request): { tone: Tone; text: string } {
  switch (r.went) {
    case 'laptop':
      return { tone: r.why ? 'bad' : 'good', text: 'Laptop' }
    case 'both':
      return { tone: 'good', text: 'Copy' }
  }
  return { tone: 'busy', text: 'Cluster' }
}

/** How a request ended, in as few letters as there is room for. */
export function outcome(r: Request): { tone: Tone; text: string } {
  if (r.grpcStatus) return { tone: r.grpcStatus === 'OK' ? 'good' : 'bad', text: r.grpcStatus }
  if (r.status) {
    const tone = r.status >= 500 ? 'bad' : r.status >= 400 ? 'busy' : 'good'
    return { tone, text: String(r.status) }
  }
  if (r.open) return { tone: 'idle', text: 'open' }
  return r.why ? { tone: 'bad', text: 'broke off' } : { tone: 'idle', text: r.method ? '' : 'closed' }
}

/** A time of day with milliseconds, as people compare requests by it. */
export function clock(time: string): string {
  const at = new Date(time)
  const two = (n: number) => String(n).padStart(2, '0')
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}`
}

/** How long a request took. */
export function took(ms: number | undefined): string {
  if (ms === undefined) return ''
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
  return ms < 60_000 ? `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s` : span(ms)
}

/** A number with separators, as in 12,345. */
export const number = (n: number) => n.toLocaleString('en-US')
