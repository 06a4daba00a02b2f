// SPDX-License-Identifier: Apache-2.0
// The only caller of the local API. Addresses are relative: the page lies beside the API, under a path of this browser.
import type { Contexts, Failure, Namespaces, Options, Problem, Status, Target, Version } from './types'

/** What went wrong, in words for people. */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.message)
  }
}

/** The daemon does not answer, or does not know this browser. */
export const unreachable: Problem = {
  code: 'daemon_unreachable',
  message: "Fairlead's background program does not answer this page.",
  hint: "Run 'fairlead ui' in a terminal, or start the Fairlead window again.",
}

async function call<Out>(method: 'GET' | 'POST', path: string, input?: unknown, signal?: AbortSignal): Promise<Out> {
  let response: Response
  try {
    const request: RequestInit = { method, signal }
    if (input !== undefined) {
      request.headers = { 'Content-Type': 'application/json' }
      request.body = JSON.stringify(input)
    }
    response = await fetch(path, request)
  } catch (error) {
    if (signal?.aborted) {
      throw new ProblemError({ code: 'cancelled', message: 'Cancelled.' })
    }
    throw new ProblemError(unreachable)
  }
  if (response.ok) {
    return (await response.json()) as Out
  }
  const failure = (await response.json().catch(() => ({ error: null }))) as Failure
  throw new ProblemError(failure.error ?? unreachable)
}

export const version = () => call<Version>('GET', 'v1/version')
export const contexts = () => call<Contexts>('POST', 'v1/contexts', {})
export const namespaces = (target: Target, signal: AbortSignal) => call<Namespaces>('POST', 'v1/namespaces', target, signal)
/** Answers once connected. Aborting cancels the attempt. */
export const connect = (options: Options, signal: AbortSignal) => call<Status>('POST', 'v1/connect', options, signal)
/** Answers once everything is put back. */
export const disconnect = () => call<Status>('POST', 'v1/disconnect', {})

/** Calls back with the status now and on each change, and when the daemon is lost. Returns what ends that. */
export function watch(onStatus: (status: Status) => void, onLost: () => void): () => void {
  const retryAfter = 2000 // milliseconds; a browser gives up by itself after an answer that is no stream
  let timer: ReturnType<typeof setTimeout> | undefined
  let source: EventSource
  const open = () => {
    source = new EventSource('v1/status/watch')
    source.addEventListener('status', (event) => onStatus(JSON.parse((event as MessageEvent<string>).data) as Status))
    source.addEventListener('error', () => {
      onLost()
      if (source.readyState === EventSource.CLOSED) {
        timer = setTimeout(open, retryAfter)
      }
    })
  }
  open()
  return () => {
    clearTimeout(timer)
    source.close()
  }
}
