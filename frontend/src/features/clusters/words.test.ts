// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import type { ContextState } from '../../api/types'
import { each } from './each'
import { gateway, offers, reach } from './words'

test.each<[Partial<ContextState> | undefined, string, string | undefined, string]>([
  [undefined, 'Not asked yet', undefined, 'connect'],
  [{ reachable: true, ms: 12.3, gateway: 'ready', gatewayBy: '0.1.0' }, 'Answers in 12 ms', 'Gateway 0.1.0', 'connect'],
  [{ reachable: true, gateway: 'unknown' }, 'Answers', undefined, 'connect'],
  [{ reachable: true, ms: 4.25, gateway: 'missing' }, 'Answers in 4.3 ms', 'No gateway', 'install'],
  [{ reachable: true, gateway: 'other-version', gatewayBy: '0.0.9' }, 'Answers', 'Gateway 0.0.9', 'connect,upgrade'],
  [{ reachable: true, gateway: 'not-ready' }, 'Answers', 'Gateway not ready', 'connect'],
  [{ problem: { code: 'cluster_unreachable', message: '' } }, 'Does not answer', undefined, 'connect'],
  [{ problem: { code: 'unauthorized', message: '' } }, 'Refuses the credentials', undefined, 'connect'],
  [{ problem: { code: 'new', message: '' } }, 'Cannot be used', undefined, 'connect'],
])('%o', (given, reached, gate, offered) => {
  const state = given && { context: 'dev', reachable: false, ...given }
  expect(reach(state).text).toBe(reached)
  expect(gateway(state)?.text).toBe(gate)
  expect(offers(state).join()).toBe(offered)
})

test('each does some at a time, and ends when it is told to', async () => {
  let [running, most] = [0, 0]
  const done: number[] = []
  const end = new AbortController()
  await each(
    [1, 2, 3, 4, 5, 6, 7],
    3,
    async (n) => {
      most = Math.max(most, ++running)
      await Promise.resolve()
      running--
      done.push(n)
      if (n === 5) end.abort()
    },
    end.signal,
  )
  expect(most).toBe(3)
  expect(done).not.toContain(7)
})
