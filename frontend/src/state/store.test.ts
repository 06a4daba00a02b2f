// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import type { Snapshot } from '../api/types'
import { parseEvent } from '../api/call'
import { Rates } from './rates'
import { line } from './sparkline'
import { Store } from './store.svelte'

function snapshot(started: string, revision: number): Snapshot {
  return {
    revision,
    daemon: { version: '1', started },
    session: { state: 'disconnected', carrier: {}, gateway: {}, dns: { healthy: false }, received: 0, sent: 0 },
    helper: { running: true, compatible: true },
    everyone: null,
    workloads: 0,
    work: null,
    problems: null,
    activity: null,
    settings: {},
  }
}

test('an older snapshot of the same daemon is left out, and a new daemon begins anew', () => {
  const store = new Store()
  store.take(snapshot('a', 5))
  store.take(snapshot('a', 4))
  expect(store.snapshot?.revision).toBe(5)
  expect(store.life).toBe(1)
  store.take(snapshot('b', 1))
  expect(store.snapshot?.revision).toBe(1)
  expect(store.life).toBe(2)
})

test('a snapshot says that the daemon is not lost', () => {
  const store = new Store()
  store.lost = { code: 'daemon_unreachable', message: 'gone' }
  store.take(snapshot('a', 1))
  expect(store.lost).toBeUndefined()
})

test('rates are differences, and begin anew with a connection and when a counter goes back', () => {
  const rates = new Rates()
  rates.add('a', 100, 10)
  rates.add('a', 300, 15)
  expect(rates.values()).toEqual({ received: [200], sent: [5] })
  rates.add('a', 50, 15)
  rates.add('a', 60, 15)
  expect(rates.values()).toEqual({ received: [200, 10], sent: [5, 0] })
  rates.add('b', 1000, 1000)
  expect(rates.values()).toEqual({ received: [], sent: [] })
  for (let i = 0; i < 100; i++) rates.add('b', 1000 + i, 1000)
  expect(rates.values().received).toHaveLength(60)
})

test('a sparkline ends at the right edge, and nothing is at the bottom', () => {
  expect(line([], 3)).toBe('M0 31L60 31L120 31')
  expect(line([1, 10], 3)).toBe('M0 31L60 28L120 1')
})

test.each([
  ['event: result\ndata: {"a":1}', { name: 'result', data: '{"a":1}' }],
  ['data: one\r\ndata: two', { name: 'message', data: 'one\ntwo' }],
  [':', undefined],
  ['event: x', undefined],
])('event %o', (block, want) => expect(parseEvent(block)).toEqual(want))
