// SPDX-License-Identifier: Apache-2.0
// The workloads of the connected cluster, as the daemon has them. They stay while other screens are shown.
import * as api from '../../api/client'
import type { Problem, Workloads } from '../../api/types'
import { Pace } from './pace'
import { type Row, rowsOf } from './search'

/** How often the list is asked for again at most, in milliseconds. */
const every = 1000

export class WorkloadList {
  rows = $state.raw<Row[]>([])
  loaded = $state(false)
  /** Why the list could not be had, or not anew. */
  problem = $state.raw<Problem>()
  /** The only namespace that is listed, of a user who may not list all. */
  only = $state('')

  #connection = ''
  #namespace = '' // where the connection's short names resolve
  #revision = -1
  #pace = new Pace(() => this.#load(), every)

  /** Sees to it that the list is that of the connection, and as new as the revision. */
  follow(connection: string, namespace: string, revision: number): void {
    this.#namespace = namespace
    if (connection !== this.#connection) {
      this.#connection = connection
      this.rows = []
      this.loaded = false
      this.problem = undefined
      this.only = ''
    } else if (revision === this.#revision) {
      return
    }
    this.#revision = revision
    this.#pace.want()
  }

  /** Tries again. Rights may have been granted meanwhile, so a user who may not list one namespace is asked for all. */
  again(): void {
    if (this.problem?.code === 'forbidden') this.only = ''
    this.#pace.want()
  }

  /** Lists another namespace, for a user who may not list all. */
  look(namespace: string): void {
    if (!namespace || namespace === this.only) return
    this.only = namespace
    this.rows = []
    this.loaded = false
    this.problem = undefined
    this.#pace.want()
  }

  async #load(): Promise<void> {
    const [connection, only] = [this.#connection, this.only]
    const stale = () => connection !== this.#connection || only !== this.only
    try {
      const found = only ? await api.workloads({ namespace: only }) : await this.#all()
      if (connection !== this.#connection || (only && only !== this.only)) return
      this.rows = rowsOf(found.workloads ?? [])
      this.problem = undefined
      this.loaded = true
    } catch (error) {
      if (!stale()) this.problem = api.problemOf(error)
    }
  }

  /** Of all namespaces; of the connection's where that is refused. */
  async #all(): Promise<Workloads> {
    try {
      return await api.workloads({ allNamespaces: true })
    } catch (error) {
      if (api.problemOf(error).code !== 'forbidden') throw error
      const namespace = this.#namespace || 'default'
      const found = await api.workloads({ namespace })
      this.only = namespace
      return found
    }
  }
}

export const list = new WorkloadList()
