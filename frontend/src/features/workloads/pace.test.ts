// SPDX-License-Identifier: Apache-2.0
import { beforeEach, expect, test, vi } from 'vitest'
import { Pace } from './pace'

beforeEach(() => void vi.useFakeTimers())

test('at once, then once an interval however often it is wanted', async () => {
  const run = vi.fn(async () => undefined)
  const pace = new Pace(run, 1000)
  for (let i = 0; i < 5; i++) pace.want()
  await vi.advanceTimersByTimeAsync(0)
  expect(run).toHaveBeenCalledTimes(1)
  for (let i = 0; i < 5; i++) pace.want()
  await vi.advanceTimersByTimeAsync(999)
  expect(run).toHaveBeenCalledTimes(1)
  await vi.advanceTimersByTimeAsync(1)
  expect(run).toHaveBeenCalledTimes(2)
  await vi.advanceTimersByTimeAsync(5000)
  expect(run).toHaveBeenCalledTimes(2)
})

test('one at a time, and again for what came meanwhile', async () => {
  let finish: () => void = () => undefined
  const run = vi.fn(() => new Promise<void>((resolve) => (finish = resolve)))
  const pace = new Pace(run, 10)
  pace.want()
  await vi.advanceTimersByTimeAsync(100)
  pace.want()
  await vi.advanceTimersByTimeAsync(100)
  expect(run).toHaveBeenCalledTimes(1)
  finish()
  await vi.advanceTimersByTimeAsync(0)
  expect(run).toHaveBeenCalledTimes(2)
})

test('never after its end', async () => {
  const run = vi.fn(async () => undefined)
  const pace = new Pace(run, 10)
  pace.want()
  pace.end()
  pace.want()
  await vi.advanceTimersByTimeAsync(100)
  expect(run).not.toHaveBeenCalled()
})
