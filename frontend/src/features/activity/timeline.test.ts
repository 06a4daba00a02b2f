// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import type { Event, Kind } from '../../api/types'
import { days, kindsIn } from './timeline'

let id = 100
const event = (time: string, kind: Kind = 'connection'): Event => ({ id: id--, time, kind, level: 'info', text: '' })
const now = new Date('2026-03-29T12:00:00') // the day after which clocks change in much of Europe
const events = [event('2026-03-29T11:00:00'), event('2026-03-29T00:00:01', 'dns'), event('2026-03-28T23:59:59'), event('2026-03-20T10:00:00', 'dns')]

test('events are grouped by day', () => {
  expect(days(events, '', now).map((day) => [day.name, day.events.length])).toEqual([
    ['Today', 2],
    ['Yesterday', 1],
    [new Date('2026-03-20T10:00:00').toLocaleDateString(undefined, { weekday: 'long', day: 'numeric', month: 'long' }), 1],
  ])
})

test('events can be of one kind', () => expect(days(events, 'dns', now).map((day) => day.events.length)).toEqual([1, 1]))
test('an event of a clock ahead is of today', () => expect(days([event('2026-03-30T01:00:00')], '', now)[0]?.name).toBe('Today'))
test('kinds have a fixed order', () => expect(kindsIn([event('', 'dns'), event('', 'connection')])).toEqual(['connection', 'dns']))
