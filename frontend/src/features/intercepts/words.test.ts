// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import type { Intercept, Record as Request } from '../../api/types'
import { conditions, health, outcome, portWords, shortUser, took, wentWords, whatOf } from './words'

const counts = { matched: 0, passed: 0, fallenBack: 0, unreadable: 0 }
function intercept(more: Partial<Intercept>): Intercept {
  return { name: 'api', namespace: 'shop', id: '1', user: 'ana', mine: true, workload: { kind: 'Deployment', name: 'api' }, ports: [], podsReady: 2, podsCovered: 2, counts, ...more }
}
const port = { port: 8080, protocol: 'TCP', local: '127.0.0.1:3000', listening: true }

test.each<[string, Partial<Intercept>, string, string]>([
  ['new', {}, 'busy', 'Waiting'],
  ['active', { phase: 'Active', ports: [port] }, 'good', 'Active'],
  ['nothing listens', { phase: 'Active', ports: [{ ...port, listening: false }] }, 'busy', 'Nothing listens'],
  ["of another one's program, nothing is known", { phase: 'Active', mine: false, ports: [{ ...port, listening: false }] }, 'good', 'Active'],
  ['silent', { phase: 'Active', silentSince: '2026-01-01T00:00:00Z' }, 'busy', 'Laptop silent'],
  ['some pods', { phase: 'Active', podsCovered: 1 }, 'busy', 'Partly active'],
  ['suspended', { phase: 'Suspended', message: 'the laptop is asleep' }, 'busy', 'Suspended'],
  ['refused', { phase: 'Refused' }, 'bad', 'Refused'],
  ['ended', { phase: 'Ended' }, 'idle', 'Ended'],
])('health: %s', (_, more, tone, label) => expect(health(intercept(more))).toMatchObject({ tone, label }))

test('health says why', () => {
  expect(health(intercept({ phase: 'Suspended', message: 'the laptop is asleep' })).text).toBe('The laptop is asleep.')
  expect(health(intercept({ phase: 'Active', mirror: true, ports: [{ ...port, listening: false }] })).text).toContain('copies go nowhere')
  expect(health(intercept({ phase: 'Active' }), true).label).toBe('Leaving')
})

test.each<[Partial<Intercept>, string]>([
  [{ all: true }, 'all traffic'],
  [{ all: true, mirror: true }, 'all traffic (copy)'],
  [{ key: 'ana-1' }, 'x-fairlead: ana-1'],
  [{ where: [{ header: 'x-user', how: 'prefix', value: 'a' }], path: { how: 'exact', value: '/cart' } }, 'x-user^=a, path =/cart'],
])('%o', (more, want) => expect(whatOf(intercept(more))).toBe(want))

test('conditions', () =>
  expect(conditions(intercept({ key: 'ana-1', path: { how: 'regex', value: '/v.' } }))).toEqual([
    'the header x-fairlead: ana-1, or baggage: fairlead=ana-1',
    'a path that matches /v.',
  ]))

test.each([
  ['ana@example.com', 'ana'],
  ['system:serviceaccount:build:ci', 'ci'],
  ['ana', 'ana'],
])('%s', (user, want) => expect(shortUser(user)).toBe(want))

test.each([
  [undefined, ''],
  [0.42, '0.4 ms'],
  [12.4, '12 ms'],
  [1234, '1.23 s'],
  [12_345, '12.3 s'],
  [125_000, '2 min'],
])('%s ms', (ms, want) => expect(took(ms)).toBe(want))

test.each<[Partial<Request>, string, string]>([
  [{ status: 200, method: 'GET' }, 'good', '200'],
  [{ status: 404 }, 'busy', '404'],
  [{ status: 503 }, 'bad', '503'],
  [{ status: 200, grpcStatus: 'NOT_FOUND' }, 'bad', 'NOT_FOUND'],
  [{ open: true }, 'idle', 'open'],
  [{ why: 'the program closed the connection' }, 'bad', 'broke off'],
  [{ protocol: 'TCP' }, 'idle', 'closed'],
])('outcome of %o', (r, tone, text) => expect(outcome(r as Request)).toEqual({ tone, text }))

test('where a request went', () => {
  expect(wentWords({ went: 'laptop' } as Request).text).toBe('Laptop')
  expect(wentWords({ went: 'cluster' } as Request).tone).toBe('busy')
  expect(wentWords({ went: 'both' } as Request).text).toBe('Copy')
})

test('ports', () => {
  expect(portWords(port)).toEqual({ from: '8080', to: '127.0.0.1:3000' })
  expect(portWords({ port: 53, protocol: 'UDP' })).toEqual({ from: '53/udp', to: 'a laptop' })
})
