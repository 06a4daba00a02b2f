// SPDX-License-Identifier: Apache-2.0
import { beforeEach, expect, test, vi } from 'vitest'
import * as api from '../api/client'
import type { Status } from '../api/types'
import { problemOf, Session } from './session.svelte'

vi.mock('../api/client', async (original) => ({
  ...(await original<typeof api>()),
  connect: vi.fn(),
  disconnect: vi.fn(),
  watch: vi.fn(),
}))

const connected: Status = { state: 'connected', carrier: {}, gateway: {}, dns: { healthy: true }, received: 0, sent: 0 }

beforeEach(() => vi.resetAllMocks())

test('a failed connect leaves its problem, and the next one takes it away', async () => {
  const session = new Session()
  vi.mocked(api.connect).mockRejectedValueOnce(new api.ProblemError({ code: 'timeout', message: 'slow' }))
  await session.connect({})
  expect(session.failure?.message).toBe('slow')
  vi.mocked(api.connect).mockResolvedValueOnce(connected)
  await session.connect({})
  expect(session.failure).toBeUndefined()
})

test('cancel ends the attempt of this page', async () => {
  const session = new Session()
  let signal: AbortSignal | undefined
  vi.mocked(api.connect).mockImplementationOnce((_, s) => {
    signal = s
    return new Promise((_, reject) => s.addEventListener('abort', () => reject(new api.ProblemError({ code: 'cancelled', message: 'Cancelled.' }))))
  })
  const attempt = session.connect({})
  await session.cancel()
  await attempt
  expect(signal?.aborted).toBe(true)
  expect(api.disconnect).not.toHaveBeenCalled()
})

test('cancel of an attempt that another face began disconnects', async () => {
  await new Session().cancel()
  expect(api.disconnect).toHaveBeenCalledOnce()
})

test('a lost daemon is known, and found again', () => {
  const session = new Session()
  const end = vi.fn()
  vi.mocked(api.watch).mockReturnValueOnce(end)
  expect(session.follow()).toBe(end)
  const [onStatus, onLost] = vi.mocked(api.watch).mock.calls[0]!
  onLost()
  expect(session.lost).toBe(true)
  onStatus(connected)
  expect(session).toMatchObject({ lost: false, status: { state: 'connected' } })
})

test('a defect is a problem too', () => expect(problemOf(new TypeError('x')).code).toBe('internal'))
