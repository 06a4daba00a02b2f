// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import type { Program, WorkloadPort } from '../../api/types'
import { bestPort, candidates, emptyForm, faultsOf, type Form, listening, requestOf, shortFolder } from './form'

const form = (more: Partial<Form> = {}): Form => ({ ...emptyForm('shop', 'deployment/api'), ports: [{ remote: '8080', protocol: 'TCP', local: '3000' }], key: 'ana-1', ...more })

test.each<[string, Partial<Form>, object]>([
  ['personal', {}, { ports: ['3000:8080'], key: 'ana-1' }],
  ['the same number', { ports: [{ remote: '8080', protocol: 'TCP', local: '' }] }, { ports: [':8080'], key: 'ana-1' }],
  ['UDP', { ports: [{ remote: '53', protocol: 'UDP', local: '5353' }], whose: 'all' }, { ports: ['5353:53/udp'], all: true }],
  ['all leaves out what tells requests apart', { whose: 'all', path: '/cart', headers: [{ name: 'x', how: 'exact', value: '1' }] }, { ports: ['3000:8080'], all: true }],
  [
    'further conditions',
    { key: '', path: '/cart', headers: [{ name: 'x-user', how: 'regex', value: 'a.*' }, { name: '', how: 'exact', value: '' }] },
    { ports: ['3000:8080'], path: '^=/cart', headers: ['x-user~=a.*'] },
  ],
  ['the rest', { mirror: true, expires: '8h', redirect: 'instant', takeover: 'force', container: 'app', address: ' 172.17.0.2 ' }, { ports: ['3000:8080'], key: 'ana-1', mirror: true, expires: '8h', redirect: 'instant', takeover: 'force', container: 'app', address: '172.17.0.2' }],
])('request: %s', (_, more, want) => expect(requestOf(form(more))).toEqual({ workload: 'deployment/api', namespace: 'shop', ...want }))

describe('faults', () => {
  test.each<[string, Partial<Form>, string[]]>([
    ['none', {}, []],
    ['no port', { ports: [{ remote: '', protocol: 'TCP', local: '' }] }, ['remote-0']],
    ['no number', { ports: [{ remote: '8080', protocol: 'TCP', local: '70000' }] }, ['local-0']],
    ['a name has no number', { ports: [{ remote: 'http', protocol: 'TCP', local: '' }] }, ['local-0']],
    ['key', { key: 'a b' }, ['key']],
    ['nothing to tell them apart', { key: '' }, ['key']],
    ['but a path does', { key: '', path: '/cart' }, []],
    ['path', { path: 'cart' }, ['path']],
    ['header', { headers: [{ name: 'a b', how: 'exact', value: '' }, { name: '', how: 'exact', value: 'x' }] }, ['header-0', 'header-1']],
    ['all has no conditions', { whose: 'all', key: 'a b' }, []],
  ])('%s', (_, more, want) => expect(Object.keys(faultsOf(form(more)))).toEqual(want))
})

test('the best port', () => {
  const port = (port: number, more: Partial<WorkloadPort> = {}): WorkloadPort => ({ port, protocol: 'TCP', ...more })
  expect(bestPort([])).toBeUndefined()
  expect(bestPort([port(9090), port(8080, { service: 'api:80' })])?.port).toBe(8080)
  expect(bestPort([port(53, { protocol: 'UDP', service: 'dns:53' }), port(9090)])?.port).toBe(9090)
  expect(bestPort([port(8443, { service: 'api:443', tls: true }), port(8080, { service: 'api:80' })])?.port).toBe(8080)
  expect(bestPort([port(8080, { service: 'api:80', busy: 'ben' }), port(8081, { service: 'api:81' })])?.port).toBe(8081)
})

test('programs to pick', () => {
  const program = (port: number, more: Partial<Program> = {}): Program => ({ port, protocol: 'TCP', address: '127.0.0.1', ...more })
  const all = [program(22), program(3000, { name: 'node', folder: '/home/ana/api' }), program(3000, { address: '::1' }), program(8080, { name: 'java', folder: '/x' }), program(5353, { protocol: 'UDP' })]
  expect(candidates(all, { remote: '8080', protocol: 'TCP' }, 'shop').map((p) => p.port)).toEqual([8080, 3000, 22])
  expect(candidates(all, { remote: '8080', protocol: 'TCP' }, 'shop', '3000').map((p) => p.port)).toEqual([3000, 8080, 22])
  expect(candidates(all, { remote: '8080', protocol: 'TCP' }, 'deployment/api').map((p) => p.port)).toEqual([3000, 8080, 22])
  expect(candidates(all, { remote: '53', protocol: 'UDP' }, 'shop').map((p) => p.port)).toEqual([5353])
  expect(listening(all, '3000', 'TCP')).toBe(true)
  expect(listening(all, '3001', 'TCP')).toBe(false)
})

test.each([
  ['/home/ana/shop/api', '~/shop/api'],
  ['/Users/ana', '~'],
  ['/srv/api', '/srv/api'],
])('%s', (folder, want) => expect(shortFolder(folder)).toBe(want))
