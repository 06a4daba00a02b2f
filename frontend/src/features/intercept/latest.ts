// SPDX-License-Identifier: Apache-2.0

/**
 * Asks when somebody has stopped typing, and answers with what was asked last: a slow answer to an older question is
 * dropped, and its call ended.
 */
export class Latest<In, Out> {
  #timer: ReturnType<typeof setTimeout> | undefined
  #running: AbortController | undefined

  /** delay in milliseconds. */
  constructor(
    private readonly call: (input: In, signal: AbortSignal) => Promise<Out>,
    private readonly answer: (out: Out) => void,
    private readonly fail: (error: unknown) => void,
    private readonly delay: number,
  ) {}

  /** Asks after the delay, unless something else is asked before; at once for the first, and where nobody is typing. */
  ask(input: In, atOnce = false): void {
    const wait = this.#timer && !atOnce ? this.delay : 0
    this.end()
    const running = (this.#running = new AbortController())
    this.#timer = setTimeout(async () => {
      try {
        const out = await this.call(input, running.signal)
        if (!running.signal.aborted) this.answer(out)
      } catch (error) {
        if (!running.signal.aborted) this.fail(error)
      }
    }, wait)
  }

  /** Ends the call that is under way. Nothing is answered any more until something is asked. */
  end(): void {
    clearTimeout(this.#timer)
    this.#running?.abort()
  }
}
