// SPDX-License-Identifier: Apache-2.0
// What clicks do to the connection. The state comes back with the next snapshot; only failures are kept here.
import * as api from '../api/client'
import type { Options, Problem } from '../api/types'
import { store } from './store.svelte'
import { announce } from './toasts.svelte'

export class Actions {
  /** Why the last call failed, and the context it was for. */
  failure = $state.raw<{ problem: Problem; context?: string }>()
  /** The context that this page connects to now. */
  connecting = $state<string>()
  disconnecting = $state(false)
  switching = $state<string>()

  #call: string | undefined

  async connect(options: Options): Promise<void> {
    const call = (this.#call = crypto.randomUUID())
    this.connecting = options.context ?? ''
    await this.#run(() => api.connect(options, { call }), options.context)
    if (this.#call === call) {
      this.#call = undefined
      this.connecting = undefined
    }
  }

  /** Cancels an attempt to connect, be it of this page or of another face. */
  async cancel(): Promise<void> {
    const id = this.#call ?? store.work.find((work) => work.what === 'connect' && work.stoppable)?.id
    if (id) await this.#run(() => api.cancel(id))
    else await this.disconnect()
  }

  async disconnect(): Promise<void> {
    this.disconnecting = true
    await this.#run(api.disconnect)
    this.disconnecting = false
  }

  async switchNamespace(namespace: string): Promise<void> {
    this.switching = namespace
    await this.#run(() => api.switchNamespace({ namespace }))
    if (!this.failure) announce(`Short names now resolve in ${namespace}.`, 'good')
    this.switching = undefined
  }

  forget(): void {
    this.failure = undefined
  }

  async #run(call: () => Promise<unknown>, context?: string): Promise<void> {
    this.failure = undefined
    try {
      await call()
    } catch (error) {
      const problem = api.problemOf(error)
      if (problem.code !== 'cancelled') this.failure = { problem, context }
    }
  }
}

export const actions = new Actions()
