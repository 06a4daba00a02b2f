// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import type { Record as Request } from '../../api/types'
import { filtered, RequestLog } from './requests'

function request(number: number, more: Partial<Request> = {}): Request {
  return { number, intercept: 'i', time: '2026-01-01T00:00:00Z', protocol: 'HTTP/1.1', method: 'GET', path: `/${number}`, went: 'laptop', received: 0, sent: 0, ...more }
}
const numbers = (log: RequestLog) => log.shown.map((r) => r.number)

test('the newest are on top', () => {
  const log = new RequestLog()
  log.add({ records: [request(1), request(2)] })
  log.add({ records: [request(3)] })
  expect(numbers(log)).toEqual([3, 2, 1])
})

test('a request that has ended takes the place of itself', () => {
  const log = new RequestLog()
  log.add({ records: [request(1, { open: true }), request(2)] })
  log.add({ records: [request(1, { status: 200 })] })
  expect(numbers(log)).toEqual([2, 1])
  expect(log.shown[1]).toMatchObject({ status: 200 })
})

test('also within one message', () => {
  const log = new RequestLog()
  log.add({ records: [request(1, { open: true }), request(2), request(1, { status: 204 })] })
  expect(log.shown).toMatchObject([{ number: 2 }, { number: 1, status: 204 }])
})

test('a stream that is opened again doubles nothing', () => {
  const log = new RequestLog()
  log.add({ records: [request(1), request(2)] })
  log.add({ records: [request(1), request(2), request(3)] })
  expect(numbers(log)).toEqual([3, 2, 1])
})

test('while held, new ones wait and old ones still change', () => {
  const log = new RequestLog()
  log.add({ records: [request(1, { open: true })] })
  log.hold(true)
  log.add({ records: [request(2), request(3)] })
  log.add({ records: [request(1, { status: 200 }), request(2, { status: 500 })] })
  expect(log.waiting).toBe(2)
  expect(log.shown).toMatchObject([{ number: 1, status: 200 }])
  log.showWaiting()
  expect(log.shown).toMatchObject([{ number: 3 }, { number: 2, status: 500 }, { number: 1 }])
  log.add({ records: [request(4)] })
  expect(log.waiting).toBe(1)
  log.hold(false)
  expect(numbers(log)).toEqual([4, 3, 2, 1])
})

test('what was cleared does not come back, but from another daemon', () => {
  const log = new RequestLog()
  log.add({ records: [request(1), request(2)], dropped: 7 })
  expect(log.dropped).toBe(7)
  log.clear()
  log.add({ records: [request(1), request(2), request(3)] })
  expect(numbers(log)).toEqual([3])
  expect(log.dropped).toBe(0)
  log.reset()
  log.add({ records: [request(1)] })
  expect(numbers(log)).toEqual([1])
})

test('the oldest go', () => {
  const log = new RequestLog()
  log.add({ records: Array.from({ length: 2500 }, (_, i) => request(i + 1)) })
  expect(log.shown).toHaveLength(2000)
  expect(log.shown[0]!.number).toBe(2500)
})

test.each([
  ['', '', [1, 2, 3, 4]],
  ['post', '', [2]],
  ['5xx', '', [3]],
  ['50', '', [3]],
  ['grpc not_found', '', [4]],
  ['', 'failed', [3, 4]],
  ['', 'cluster', [3]],
  ['', 'laptop', [1, 2, 4]],
] as const)('filter %o %o', (text, went, want) => {
  const all = [
    request(1, { status: 200 }),
    request(2, { method: 'POST', status: 201 }),
    request(3, { status: 503, went: 'cluster', why: 'nothing listens on 127.0.0.1:3000' }),
    request(4, { protocol: 'gRPC', status: 200, grpcStatus: 'NOT_FOUND' }),
  ]
  expect(filtered(all, { text, went }).map((r) => r.number)).toEqual(want)
})
