// SPDX-License-Identifier: Apache-2.0
// The contexts of the kubeconfigs, and how their clusters are. It is kept while the page lives, so that going to another
// screen and back shows at once what was known.
import { SvelteMap } from 'svelte/reactivity'
import * as api from '../../api/client'
import type { Context, ContextState, Problem } from '../../api/types'
import { each } from './each'

/** How many clusters are asked at a time: credential plugins may open windows and use CPU. */
const atATime = 4
/** How old an answer may be before it is asked for again, in milliseconds. */
const goodFor = 60_000

export class Clusters {
  contexts = $state.raw<readonly Context[]>()
  /** Why there are no contexts. */
  problem = $state.raw<Problem>()
  states = new SvelteMap<string, ContextState>()
  checking = new SvelteMap<string, true>()

  #checked = 0
  #run: AbortController | undefined

  /** Loads the contexts, and asks their clusters unless that was done lately. */
  async load(again = false): Promise<void> {
    this.#run?.abort()
    const run = (this.#run = new AbortController())
    try {
      const found = await api.contexts({ signal: run.signal })
      if (run.signal.aborted) return
      this.contexts = found.contexts ?? []
      this.problem = undefined
    } catch (error) {
      if (run.signal.aborted) return
      this.problem = api.problemOf(error)
      this.contexts = undefined
      return
    }
    const old = again || Date.now() - this.#checked > goodFor
    const names = this.contexts.map((context) => context.name).filter((name) => old || !this.states.has(name))
    if (old) this.#checked = Date.now()
    await each(names, atATime, (name) => this.check(name, run.signal), run.signal)
  }

  /** Ends asking. What is known stays. */
  stop(): void {
    this.#run?.abort()
  }

  /** Asks one cluster. */
  async check(name: string, signal?: AbortSignal): Promise<void> {
    this.checking.set(name, true)
    try {
      this.states.set(name, await api.checkContext({ context: name }, { signal }))
    } catch (error) {
      const problem = api.problemOf(error)
      if (problem.code !== 'cancelled') this.states.set(name, { context: name, reachable: false, problem })
    }
    this.checking.delete(name)
  }
}

export const clusters = new Clusters()
