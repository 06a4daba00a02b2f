// SPDX-License-Identifier: Apache-2.0
// What the table of workloads shows: a pure function of the list and of what people look for. It is made for many
// thousands of rows: what can be prepared once is.
import type { Intercept, Workload } from '../../api/types'
import { whatOf } from '../intercepts/words'

/** Somebody who intercepts a workload. */
export interface Taker {
  id: string
  user: string
  what: string
  /** The same in a word or two. */
  brief: string
  mine: boolean
  phase?: string
}

export interface Row {
  workload: Workload
  /** namespace/Kind/name. */
  id: string
  /** The name in small letters. */
  name: string
  /** All that is looked through, in small letters. */
  text: string
  takers: Taker[]
}

/** Compares as people sort: api-2 before api-10. */
const collator = new Intl.Collator('en', { numeric: true, sensitivity: 'base' })

export const rowID = (namespace: string, kind: string, name: string) => `${namespace}/${kind}/${name}`

/** Rows without those who intercept them; see withTakers. */
export function rowsOf(workloads: readonly Workload[]): Row[] {
  return workloads.map((workload) => {
    const name = workload.name.toLowerCase()
    const ports = (workload.ports ?? []).map((p) => `${p.port} ${p.name ?? ''}`)
    const text = [name, workload.namespace, workload.kind, ...(workload.services ?? []), ...ports].join('\n').toLowerCase()
    return { workload, id: rowID(workload.namespace, workload.kind, workload.name), name, text, takers: [] }
  })
}

/** Who intercepts what, by the IDs of rows; those of this laptop first. */
export function takersOf(everyone: readonly Intercept[]): [row: string, taker: Taker][] {
  return everyone
    .map((i): [string, Taker] => [rowID(i.namespace, i.workload.kind, i.workload.name), { id: i.id, user: i.user, what: whatOf(i), brief: i.key || whatOf(i), mine: i.mine, phase: i.phase }])
    .sort((a, b) => Number(b[1].mine) - Number(a[1].mine))
}

/** The same rows with who intercepts them. */
export function withTakers(rows: readonly Row[], takers: readonly [row: string, taker: Taker][]): readonly Row[] {
  if (takers.length === 0) return rows
  const byRow = new Map<string, Taker[]>()
  for (const [row, taker] of takers) byRow.set(row, [...(byRow.get(row) ?? []), taker])
  return rows.map((row) => {
    const found = byRow.get(row.id)
    return found ? { ...row, takers: found, text: [row.text, ...found.map((taker) => taker.user.toLowerCase())].join('\n') } : row
  })
}

export type SortKey = 'name' | 'namespace' | 'kind' | 'state'

export interface Sort {
  by: SortKey
  down?: boolean
}

/** The most urgent first. */
const urgency: { [state: string]: number } = { failing: 0, progressing: 1, ready: 2, 'scaled to zero': 3 }

export function sorted(rows: readonly Row[], sort: Sort): Row[] {
  const name = (a: Row, b: Row) => collator.compare(a.name, b.name)
  const namespace = (a: Row, b: Row) => collator.compare(a.workload.namespace, b.workload.namespace)
  const first: (a: Row, b: Row) => number = {
    name,
    namespace,
    kind: (a: Row, b: Row) => collator.compare(a.workload.kind, b.workload.kind),
    state: (a: Row, b: Row) => (urgency[a.workload.state] ?? 1) - (urgency[b.workload.state] ?? 1),
  }[sort.by]
  const sign = sort.down ? -1 : 1
  return [...rows].sort((a, b) => sign * first(a, b) || name(a, b) || namespace(a, b))
}

export interface Query {
  text: string
  /** Empty is all. */
  namespace: string
  kind: string
  /** A state, "intercepted", or empty for all. */
  state: string
}

export const everything: Query = { text: '', namespace: '', kind: '', state: '' }

export interface Found {
  rows: readonly Row[]
  /** Nothing contains what was looked for; these have its letters in that order. */
  near: boolean
}

/**
 * The rows that match, in the order that they came in, but those first whose names match best. All words of the text
 * must be found somewhere in a row.
 */
export function find(rows: readonly Row[], query: Query): Found {
  const words = query.text.toLowerCase().split(/\s+/).filter(Boolean)
  const { namespace, kind, state } = query
  const within = (row: Row) =>
    (!namespace || row.workload.namespace === namespace) &&
    (!kind || row.workload.kind === kind) &&
    (!state || (state === 'intercepted' ? row.takers.length > 0 : row.workload.state === state))
  if (words.length === 0) return { rows: namespace || kind || state ? rows.filter(within) : rows, near: false }
  const ranks: Row[][] = [[], [], [], []]
  for (const row of rows) {
    if (within(row) && words.every((word) => row.text.includes(word))) ranks[rank(row, words[0]!)]!.push(row)
  }
  const exact = ranks.flat()
  if (exact.length > 0) return { rows: exact, near: false }
  const letters = words.join('')
  const near = letters.length < 3 ? [] : rows.filter((row) => within(row) && inOrder(row.name, letters))
  return { rows: near, near: near.length > 0 }
}

/** How well a name matches a word: as a whole, at its beginning, somewhere, or not at all. */
function rank(row: Row, word: string): number {
  if (row.name === word) return 0
  if (row.name.startsWith(word)) return 1
  return row.name.includes(word) ? 2 : 3
}

function inOrder(text: string, letters: string): boolean {
  let at = -1
  for (const letter of letters) {
    at = text.indexOf(letter, at + 1)
    if (at < 0) return false
  }
  return true
}

/** A text in parts: every other one, from the second, is what was looked for. */
export function marked(text: string, query: string): string[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean)
  if (words.length === 0) return [text]
  const pattern = words
    .sort((a, b) => b.length - a.length)
    .map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('|')
  return text.split(new RegExp(`(${pattern})`, 'gi'))
}

/** The different values in the list, sorted, with how often they are there. */
export function facets(rows: readonly Row[], of: (row: Row) => string): { value: string; count: number }[] {
  const counts = new Map<string, number>()
  for (const row of rows) counts.set(of(row), (counts.get(of(row)) ?? 0) + 1)
  return [...counts].map(([value, count]) => ({ value, count })).sort((a, b) => collator.compare(a.value, b.value))
}
