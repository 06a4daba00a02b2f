// SPDX-License-Identifier: Apache-2.0
// Leaving intercepts: what this page has asked to end, and what came of it. The intercept goes with the next snapshot.
import { SvelteMap, SvelteSet } from 'svelte/reactivity'
import * as api from '../../api/client'
import type { Intercept, Problem } from '../../api/types'
import { router } from '../../state/router.svelte'
import { store } from '../../state/store.svelte'
import { announce } from '../../state/toasts.svelte'
import { sentence } from '../../state/words'

class Leaving {
  /** IDs of those that are being left. */
  readonly under = new SvelteSet<string>()
  /** Why one could not be left, by ID. */
  readonly failed = new SvelteMap<string, Problem>()

  async leave(i: Intercept): Promise<void> {
    if (this.under.has(i.id)) return
    this.under.add(i.id)
    this.failed.delete(i.id)
    try {
      const another = i.user !== store.session?.user && !i.mine
      const { left } = await api.leave({ namespace: i.namespace, names: [i.name], owner: another ? i.user : undefined })
      // Whoever looked at it, and nothing else, looks at what is left.
      if (router.route.screen === 'intercepts' && router.route.rest === i.id) router.replace('intercepts')
      const notes = (left ?? []).flatMap((one) => one.notes ?? []).map(sentence)
      announce([`Left ${i.workload.name}: its requests go to the app again.`, ...notes].join(' '), 'good')
    } catch (error) {
      const problem = api.problemOf(error)
      this.failed.set(i.id, problem)
      announce(problem.message)
    } finally {
      this.under.delete(i.id)
    }
  }
}

export const leaving = new Leaving()
