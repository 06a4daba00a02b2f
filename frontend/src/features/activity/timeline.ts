// SPDX-License-Identifier: Apache-2.0
// Events by day.
import type { Event, Kind } from '../../api/types'

export interface Day {
  /** Today, Yesterday, or the date. */
  name: string
  events: Event[]
}

/** The events of a kind by day, in the order that they come in: the newest first. */
export function days(events: readonly Event[], kind: Kind | '', now: Date): Day[] {
  const all: Day[] = []
  for (const event of events) {
    if (kind && event.kind !== kind) continue
    const name = dayName(new Date(event.time), now)
    if (all.at(-1)?.name === name) all.at(-1)!.events.push(event)
    else all.push({ name, events: [event] })
  }
  return all
}

function dayName(time: Date, now: Date): string {
  const before = Math.round((startOfDay(now) - startOfDay(time)) / 86_400_000) // a day with a clock change is not as long
  if (before <= 0) return 'Today'
  if (before === 1) return 'Yesterday'
  return time.toLocaleDateString(undefined, { weekday: 'long', day: 'numeric', month: 'long' })
}

const startOfDay = (time: Date) => new Date(time.getFullYear(), time.getMonth(), time.getDate()).getTime()

/** The kinds that there are events of, in a fixed order. */
export function kindsIn(events: readonly Event[]): Kind[] {
  const present = new Set(events.map((event) => event.kind))
  const order: Kind[] = ['connection', 'intercept', 'carrier', 'dns', 'gateway', 'helper', 'settings']
  return order.filter((kind) => present.has(kind))
}
