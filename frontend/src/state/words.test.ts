// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import type { Problem, State, Status } from '../api/types'
import { ago, details, hintParts, sentence, size, span, view } from './words'

const problem: Problem = { code: 'gateway_missing', message: 'the cluster has no gateway', hint: 'Run: fairlead gateway install' }

function status(state: State, more: Partial<Status> = {}): Status {
  return { state, carrier: {}, gateway: {}, dns: { healthy: false }, received: 0, sent: 0, ...more }
}

describe('view', () => {
  test.each<[string, Status | undefined, boolean, string, string, string]>([
    ['before the first status', undefined, false, 'idle', 'Asking how things are', 'none'],
    ['disconnected', status('disconnected'), false, 'idle', 'Not connected', 'connect'],
    ['failed', status('disconnected', { problem }), false, 'bad', 'The last attempt failed', 'connect'],
    ['connecting', status('connecting', { context: 'dev' }), false, 'busy', 'Connecting to dev', 'cancel'],
    ['connected', status('connected', { context: 'dev' }), false, 'good', 'Connected to dev', 'disconnect'],
    ['connected, in trouble', status('connected', { context: 'dev', problem }), false, 'busy', 'Connected to dev', 'disconnect'],
    ['reconnecting', status('reconnecting', { context: 'dev' }), false, 'bad', 'Nothing gets through to dev at the moment', 'disconnect'],
    ['disconnecting', status('disconnecting', { context: 'dev' }), false, 'busy', 'Disconnecting from dev', 'none'],
    ['no context', status('connecting', { server: 'https://a' }), false, 'busy', 'Connecting to https://a', 'cancel'],
    ['nothing known', status('connecting'), false, 'busy', 'Connecting to the cluster', 'cancel'],
    ['daemon lost', status('connected', { context: 'dev' }), true, 'bad', 'Fairlead does not answer', 'none'],
  ])('%s', (_, given, lost, tone, headline, action) => {
    expect(view(given, lost)).toMatchObject({ tone, headline, action })
    expect(view(given, lost).next).not.toBe('')
  })

  test('says the step that is going on', () => {
    expect(view(status('connecting', { step: 'waiting for the gateway' }), false).next).toContain('Waiting for the gateway.')
  })
})

describe('details', () => {
  const of = (s: Status, name: string) => details(s).find((detail) => detail.name === name)

  test('leave out what is not known', () => expect(details(status('connected'))).toEqual([]))

  test('warn about names that do not resolve', () =>
    expect(of(status('connected', { dns: { mode: 'systemd-resolved', healthy: false, detail: 'no answer' } }), 'Names')).toMatchObject({
      warn: true,
      value: 'Names of the cluster do not resolve',
      more: 'No answer. Set up through systemd-resolved.',
    }))

  test('do not say that names resolve while nothing gets through', () =>
    expect(of(status('reconnecting', { dns: { mode: 'file', healthy: true } }), 'Names')).toMatchObject({
      warn: true,
      value: 'Names of the cluster do not resolve at the moment',
      more: 'Set up through /etc/resolv.conf.',
    }))

  test('list the ranges', () => {
    expect(of(status('connected', { routes: ['10.0.0.0/8'] }), 'Reachable')).toMatchObject({ value: '1 range of addresses', list: ['10.0.0.0/8'] })
  })
})

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [150 * 1024, '150 KiB'],
  [5 * 1024 ** 3, '5.0 GiB'],
])('%d bytes are %s', (bytes, text) => expect(size(bytes)).toBe(text))

test.each([
  ['', ''],
  [' waiting ', 'Waiting.'],
  ['Done!', 'Done!'],
  ['dev.example:6443 is silent', 'dev.example:6443 is silent.'],
  ['wait. And see', 'Wait. And see.'],
])('%o as a sentence', (text, want) => expect(sentence(text)).toBe(want))

test.each([
  [400, '0 s'],
  [59_000, '59 s'],
  [61_000, '1 min'],
  [3_600_000, '1 h'],
  [3_900_000, '1 h 5 min'],
  [90_000_000, '1 day'],
  [200_000_000, '2 days'],
])('%d ms are %s', (ms, text) => expect(span(ms)).toBe(text))

test('ago', () => {
  const time = '2026-01-02T15:04:05Z'
  expect(ago(time, Date.parse(time) + 1000)).toBe('just now')
  expect(ago(time, Date.parse(time) - 9000)).toBe('just now') // the clock of this page may be behind
  expect(ago(time, Date.parse(time) + 120_000)).toBe('2 min ago')
  expect(ago(undefined, 0)).toBe('')
})

test.each([
  ['Run: fairlead gateway install', { text: 'Run this in a terminal:', command: 'fairlead gateway install' }],
  ["Run 'sudo fairlead helper install' on this laptop.", { text: "Run 'sudo fairlead helper install' on this laptop.", command: 'sudo fairlead helper install' }],
  ['See why: kubectl -n fairlead describe pod', { text: 'See why:', command: 'kubectl -n fairlead describe pod' }],
  [
    'Install it once with: sudo fairlead helper install. If it is installed, restart its service.',
    { text: 'Install it once with:', command: 'sudo fairlead helper install', after: 'If it is installed, restart its service.' },
  ],
  [
    'Install it with: fairlead gateway install; or upgrade it with: fairlead gateway upgrade.',
    { text: 'Install it with:', command: 'fairlead gateway install', after: 'Or upgrade it with: fairlead gateway upgrade.' },
  ],
  ['Name one: fairlead settings set kubeconfigs ~/.kube/config.', { text: 'Name one:', command: 'fairlead settings set kubeconfigs ~/.kube/config' }],
  ['Ask an administrator.', { text: 'Ask an administrator.' }],
  ['', { text: '' }],
])('hint %o', (hint, want) => expect(hintParts(hint)).toEqual(want))
