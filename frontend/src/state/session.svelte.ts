// SPDX-License-Identifier: Apache-2.0
// The session as this page knows it, and what the person does with it.
import * as api from '../api/client'
import type { Options, Problem, Status } from '../api/types'

export class Session {
  status = $state<Status>()
  lost = $state(false)
  /** Why the last call failed. */
  failure = $state<Problem>()
  /** A disconnect is under way that this page began. */
  ending = $state(false)

  #attempt: AbortController | undefined

  /** Follows the status until the function that is returned is called. */
  follow(): () => void {
    return api.watch(
      (status) => {
        this.status = status
        this.lost = false
        if (status.state === 'connected') this.failure = undefined
      },
      () => (this.lost = true),
    )
  }

  async connect(options: Options): Promise<void> {
    const attempt = new AbortController()
    this.#attempt = attempt
    await this.#run(() => api.connect(options, attempt.signal))
    if (this.#attempt === attempt) this.#attempt = undefined
  }

  /** Cancels the attempt, be it of this page or of another face. */
  async cancel(): Promise<void> {
    if (this.#attempt) this.#attempt.abort()
    else await this.disconnect()
  }

  async disconnect(): Promise<void> {
    this.ending = true
    await this.#run(api.disconnect)
    this.ending = false
  }

  async #run(call: () => Promise<Status>): Promise<void> {
    this.failure = undefined
    try {
      await call()
    } catch (error) {
      this.failure = problemOf(error)
    }
  }
}

/** The problem in an error; a defect of the page is one too. */
export function problemOf(error: unknown): Problem {
  if (error instanceof api.ProblemError) return error.problem
  return { code: 'internal', message: `The page met a defect: ${String(error)}`, hint: 'Load the page again, and report it.' }
}
