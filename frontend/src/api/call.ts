// SPDX-License-Identifier: Apache-2.0
// How the page calls: JSON requests, and server-sent events as the answer to a request. Addresses are relative: the page
// lies beside the API, under a path of this browser.
import { comeBack, keepWayBack } from './return'
import type { Failure, Problem, Progress } from './types'

/** What went wrong, in words for people. */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.message)
  }
}

/** The daemon does not answer. */
export const unreachable: Problem = {
  code: 'daemon_unreachable',
  message: "Fairlead's background program does not answer this page.",
  hint: "Run 'fairlead open' in a terminal, or start the Fairlead window again.",
}

/** The daemon does not know this browser (any more). */
export const unknownBrowser: Problem = {
  code: 'browser_unknown',
  message: 'This page is no longer signed in to Fairlead.',
  hint: "Run 'fairlead open' in a terminal, or start the Fairlead window again.",
}

/** The problem in an error; a defect of the page is one too. */
export function problemOf(error: unknown): Problem {
  if (error instanceof ProblemError) return error.problem
  return { code: 'internal', message: `The page met a defect: ${String(error)}`, hint: 'Load the page again, and report it.' }
}

export interface CallOptions {
  signal?: AbortSignal
  /** Names the call, so that it can be cancelled without losing its answer. */
  call?: string
}

/** Sends a request, and throws a ProblemError unless the answer is a good one. */
export async function send(method: 'GET' | 'POST', path: string, input?: unknown, { signal, call }: CallOptions = {}): Promise<Response> {
  const headers: { [name: string]: string } = {}
  if (input !== undefined) headers['Content-Type'] = 'application/json'
  if (call) headers['Fairlead-Call'] = call
  let response: Response
  try {
    response = await fetch(path, { method, signal, headers, body: input === undefined ? undefined : JSON.stringify(input) })
  } catch {
    throw new ProblemError(signal?.aborted ? { code: 'cancelled', message: 'Cancelled.' } : unreachable)
  }
  if (response.ok) return response
  if (response.status === 401) throw new ProblemError(unknownBrowser)
  const failure = (await response.json().catch(() => ({ error: null }))) as Failure
  throw new ProblemError(failure.error ?? unreachable)
}

export async function get<Out>(path: string, options?: CallOptions): Promise<Out> {
  return (await send('GET', path, undefined, options)).json() as Promise<Out>
}

export async function post<Out>(path: string, input: unknown, options?: CallOptions): Promise<Out> {
  return (await send('POST', path, input, options)).json() as Promise<Out>
}

/** Sends a request whose answer comes as events: progress, then a result or an error. */
export async function operation<Out>(path: string, input: unknown, onProgress: (message: string) => void, options: CallOptions = {}): Promise<Out> {
  const response = await send('POST', path, input, options)
  try {
    for await (const event of events(response)) {
      if (event.name === 'progress') onProgress((JSON.parse(event.data) as Progress).message)
      else if (event.name === 'result') return JSON.parse(event.data) as Out
      else if (event.name === 'error') throw new ProblemError(JSON.parse(event.data) as Problem)
    }
  } catch (error) {
    if (error instanceof ProblemError) throw error
    if (options.signal?.aborted) throw new ProblemError({ code: 'cancelled', message: 'Cancelled.' })
  }
  throw new ProblemError(unreachable) // the stream broke off
}

export interface ServerEvent {
  name: string
  data: string
}

/** The events of an answer, as far as this API uses them (WHATWG HTML, section 9.2): event and data fields, comments. */
async function* events(response: Response): AsyncGenerator<ServerEvent> {
  if (!response.body) return
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      const blocks = (rest + value).split('\n\n')
      rest = blocks.pop()!
      for (const block of blocks) {
        const event = parseEvent(block)
        if (event) yield event
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

/** One event out of its lines; undefined for one without data, such as a comment. */
export function parseEvent(block: string): ServerEvent | undefined {
  let name = 'message'
  const data: string[] = []
  for (const line of block.split('\n')) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line.replace(/\r$/, ''))!
    if (field === 'event') name = value!
    if (field === 'data') data.push(value!)
  }
  return data.length > 0 ? { name, data: data.join('\n') } : undefined
}

/** The shortest and the longest wait before a broken stream is opened again, in milliseconds. */
const retryFirst = 500
const retryMost = 5000

/** What opens streams that wait before they are opened again. */
const waiting = new Set<() => void>()

/** Tries streams that are broken now, and not after a while. */
export function tryNow(): void {
  for (const open of [...waiting]) open()
}

/**
 * Follows a stream of server-sent events for as long as it is wanted, and opens it again when it breaks. onLost says why,
 * each time. Returns what ends it.
 */
export function follow<Data>(path: string, name: string, onData: (data: Data) => void, onLost: (why: Problem) => void): () => void {
  let source: EventSource | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  let wait = retryFirst
  let ended = false
  let cameBack = -Infinity // milliseconds as of performance.now()
  const open = () => {
    clearTimeout(timer)
    waiting.delete(open)
    const own = (source = new EventSource(path))
    own.addEventListener(name, (event) => {
      wait = retryFirst
      void keepWayBack()
      onData(JSON.parse((event as MessageEvent<string>).data) as Data)
    })
    own.addEventListener('error', () => void again(own))
  }
  const again = async (own: EventSource) => {
    own.close()
    // An EventSource does not tell why. Ask, so that people read the right thing.
    const why = await get('v1/version').then(() => unreachable, problemOf)
    // One that came back and is not known again, as without cookies, does not try that at once.
    if (why.code === unknownBrowser.code && performance.now() - cameBack > retryMost && (await comeBack())) {
      cameBack = performance.now()
      if (!ended) open()
      return
    }
    if (ended) return
    onLost(why)
    timer = setTimeout(open, wait)
    waiting.add(open)
    wait = Math.min(wait * 2, retryMost)
  }
  open()
  return () => {
    ended = true
    clearTimeout(timer)
    waiting.delete(open)
    source?.close()
  }
}
