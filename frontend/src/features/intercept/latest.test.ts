// SPDX-License-Identifier: Apache-2.0
import { beforeEach, expect, test, vi } from 'vitest'
import { Latest } from './latest'

beforeEach(() => void vi.useFakeTimers())

function asker() {
  const calls: { input: number; signal: AbortSignal; resolve: (out: string) => void; reject: (error: unknown) => void }[] = []
  const answers: string[] = []
  const errors: unknown[] = []
  const latest = new Latest<number, string>(
    (input, signal) => new Promise((resolve, reject) => calls.push({ input, signal, resolve, reject })),
    (out) => answers.push(out),
    (error) => errors.push(error),
    150,
  )
  return { calls, answers, errors, latest }
}

test('the first is asked at once, further ones when typing has stopped', async () => {
  const { calls, latest } = asker()
  latest.ask(1)
  await vi.advanceTimersByTimeAsync(0)
  expect(calls.map((c) => c.input)).toEqual([1])
  latest.ask(2)
  await vi.advanceTimersByTimeAsync(149)
  latest.ask(3)
  await vi.advanceTimersByTimeAsync(149)
  expect(calls).toHaveLength(1)
  await vi.advanceTimersByTimeAsync(1)
  expect(calls.map((c) => c.input)).toEqual([1, 3])
})

test('an answer to an older question is dropped', async () => {
  const { calls, answers, errors, latest } = asker()
  latest.ask(1)
  await vi.advanceTimersByTimeAsync(0)
  latest.ask(2)
  expect(calls[0]!.signal.aborted).toBe(true)
  await vi.advanceTimersByTimeAsync(150)
  calls[1]!.resolve('new')
  calls[0]!.reject(new Error('old'))
  await vi.advanceTimersByTimeAsync(0)
  expect(answers).toEqual(['new'])
  expect(errors).toEqual([])
})

test('after its end nothing is answered', async () => {
  const { calls, answers, errors, latest } = asker()
  latest.ask(1)
  await vi.advanceTimersByTimeAsync(0)
  latest.end()
  calls[0]!.reject(new Error('gone'))
  await vi.advanceTimersByTimeAsync(1000)
  expect([answers, errors]).toEqual([[], []])
})
