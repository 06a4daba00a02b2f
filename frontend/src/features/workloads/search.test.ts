// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import type { Intercept, Workload } from '../../api/types'
import { everything, facets, find, marked, rowsOf, sorted, takersOf, withTakers } from './search'

function workload(name: string, more: Partial<Workload> = {}): Workload {
  return { namespace: 'shop', kind: 'Deployment', name, ready: 1, desired: 1, state: 'ready', ...more }
}

const rows = rowsOf([
  workload('cart-api', { services: ['cart'] }),
  workload('api', { ports: [{ name: 'http', port: 8080, protocol: 'TCP' }] }),
  workload('api-10'),
  workload('api-2', { state: 'failing' }),
  workload('postgres', { namespace: 'data', kind: 'StatefulSet' }),
])
const names = (text: string, more = {}) => find(rows, { ...everything, text, ...more }).rows.map((row) => row.workload.name)

describe('find', () => {
  test('without a query, all', () => expect(names('')).toHaveLength(5))
  test('names that match best come first', () => expect(names('api')).toEqual(['api', 'api-10', 'api-2', 'cart-api']))
  test('all words count, wherever they are', () => expect(names('API cart')).toEqual(['cart-api']))
  test('ports and services are looked through', () => {
    expect(names('8080')).toEqual(['api'])
    expect(names('data')).toEqual(['postgres'])
  })
  test('letters in order, if nothing contains them', () => {
    expect(find(rows, { ...everything, text: 'pgres' })).toMatchObject({ near: true, rows: [{ name: 'postgres' }] })
    expect(find(rows, { ...everything, text: 'zzz' })).toEqual({ near: false, rows: [] })
  })
  test('filters', () => {
    expect(names('', { namespace: 'data' })).toEqual(['postgres'])
    expect(names('', { kind: 'StatefulSet' })).toEqual(['postgres'])
    expect(names('', { state: 'failing' })).toEqual(['api-2'])
    expect(names('api', { namespace: 'data' })).toEqual([])
  })
  test('who intercepts is looked through, and can be filtered by', () => {
    const intercept = { id: '1', namespace: 'shop', user: 'Ben@example.com', mine: false, workload: { kind: 'Deployment', name: 'api' }, all: true } as Intercept
    const taken = withTakers(rows, takersOf([intercept, { ...intercept, id: '2', user: 'me', mine: true, all: false, key: 'me-1' }]))
    expect(find(taken, { ...everything, text: 'ben@' }).rows.map((row) => row.name)).toEqual(['api'])
    const [row] = find(taken, { ...everything, state: 'intercepted' }).rows
    expect(row!.takers.map((t) => [t.user, t.what])).toEqual([
      ['me', 'x-fairlead: me-1'],
      ['Ben@example.com', 'all traffic'],
    ])
  })
})

test('sorted as people do, and both ways', () => {
  expect(sorted(rows, { by: 'name' }).map((row) => row.name)).toEqual(['api', 'api-2', 'api-10', 'cart-api', 'postgres'])
  expect(sorted(rows, { by: 'state' })[0]!.name).toBe('api-2')
  expect(sorted(rows, { by: 'kind', down: true })[0]!.name).toBe('postgres')
})

test('marked', () => {
  expect(marked('cart-api', 'api')).toEqual(['cart-', 'api', ''])
  expect(marked('a.b', '. B')).toEqual(['a', '.', '', 'b', ''])
  expect(marked('cart', ' ')).toEqual(['cart'])
})

test('facets', () =>
  expect(facets(rows, (row) => row.workload.namespace)).toEqual([
    { value: 'data', count: 1 },
    { value: 'shop', count: 4 },
  ]))
