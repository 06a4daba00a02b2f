// SPDX-License-Identifier: Apache-2.0
// The live list of requests: what is kept, what is shown, what waits while somebody reads. It is plain data; nothing here
// draws.
import type { Record as Request, Records } from '../../api/types'

/** How many requests are kept; the oldest go first. */
const most = 2000

export type Went = '' | 'laptop' | 'cluster' | 'failed'

export interface Filter {
  text: string
  went: Went
}

export class RequestLog {
  /** The newest first. */
  #shown: Request[] = []
  /** Those that came while held, the newest first. */
  #waiting: Request[] = []
  #held = false
  /** Requests up to this number have been cleared away. */
  #cleared = 0
  #newest = 0
  #dropped = 0

  /** Those left out because there were too many to show. */
  get dropped(): number {
    return this.#dropped
  }

  /** New ones that are not shown yet. */
  get waiting(): number {
    return this.#waiting.length
  }

  get shown(): readonly Request[] {
    return this.#shown
  }

  get empty(): boolean {
    return this.#shown.length === 0 && this.#waiting.length === 0
  }

  /** Takes what a stream says. A stream that was opened again says again what is kept: nothing is doubled. */
  add({ records, dropped }: Records): void {
    this.#dropped += dropped ?? 0
    const changed = new Map<number, Request>()
    const fresh: Request[] = []
    for (const request of records ?? []) {
      if (request.number <= this.#cleared) continue
      if (request.number > this.#newest) {
        this.#newest = request.number
        fresh.push(request)
      } else if (fresh.length > 0 && request.number >= fresh[0]!.number) {
        fresh[fresh.findIndex((other) => other.number === request.number)] = request
      } else {
        changed.set(request.number, request)
      }
    }
    if (changed.size > 0) {
      const renew = (list: Request[]) => list.map((request) => changed.get(request.number) ?? request)
      this.#shown = renew(this.#shown)
      this.#waiting = renew(this.#waiting)
    }
    if (fresh.length === 0) return
    fresh.reverse()
    if (this.#held) this.#waiting = [...fresh, ...this.#waiting].slice(0, most)
    else this.#shown = [...fresh, ...this.#shown].slice(0, most)
  }

  /** While held, the rows stay where they are; those that are there still change when they end. */
  hold(held: boolean): void {
    this.#held = held
    if (!held) this.showWaiting()
  }

  showWaiting(): void {
    if (this.#waiting.length === 0) return
    this.#shown = [...this.#waiting, ...this.#shown].slice(0, most)
    this.#waiting = []
  }

  /** Forgets what came so far, on this page only. */
  clear(): void {
    this.#cleared = this.#newest
    this.#shown = []
    this.#waiting = []
    this.#dropped = 0
  }

  /** Begins anew, as when another daemon counts from 1 again. */
  reset(): void {
    this.#cleared = this.#newest = 0
    this.clear()
  }
}

/** Those that match: all words must be found; 4xx and the like stand for a class of statuses. */
export function filtered(requests: readonly Request[], { text, went }: Filter): readonly Request[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  if (words.length === 0 && !went) return requests
  return requests.filter((r) => {
    if (went === 'failed' ? !failed(r) : went === 'laptop' ? r.went === 'cluster' : went === 'cluster' && r.went !== 'cluster') return false
    return words.every((word) => matches(r, word))
  })
}

function matches(r: Request, word: string): boolean {
  if (/^[1-5]xx$/.test(word)) return Math.floor((r.status ?? 0) / 100) === Number(word[0])
  const has = (text: string | undefined) => text !== undefined && text.toLowerCase().includes(word)
  return has(r.method) || has(r.path) || has(r.host) || has(r.protocol) || has(r.client) || has(r.why) || has(r.grpcStatus) || (r.status ? String(r.status).startsWith(word) : false)
}

/** A request that people look for when something does not work. */
export function failed(r: Request): boolean {
  return (r.status ?? 0) >= 400 || (r.grpcStatus !== undefined && r.grpcStatus !== '' && r.grpcStatus !== 'OK') || Boolean(r.why)
}
