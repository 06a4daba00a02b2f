// SPDX-License-Identifier: Apache-2.0
import * as api from '../../api/client'
import type { Problem, Report } from '../../api/types'
import { store } from '../../state/store.svelte'

/** What the doctor found last. It is kept while the page lives. */
class Doctor {
  report = $state.raw<Report>()
  at = $state(0)
  running = $state(false)
  problem = $state.raw<Problem>()
  #life = 0

  /** Whether what was found is of the daemon that there is now. */
  get current(): boolean {
    return this.report !== undefined && this.#life === store.life
  }

  async run(): Promise<void> {
    if (this.running) return
    this.running = true
    this.problem = undefined
    try {
      this.report = await api.doctor(target())
      this.at = Date.now()
      this.#life = store.life
    } catch (error) {
      this.problem = api.problemOf(error)
      this.report = undefined
    }
    this.running = false
  }
}

/** The cluster that is looked at: the one of the connection, else the current one. */
export function target(): { context?: string } {
  const session = store.session
  return session && session.state !== 'disconnected' && session.context ? { context: session.context } : {}
}

export const doctor = new Doctor()
