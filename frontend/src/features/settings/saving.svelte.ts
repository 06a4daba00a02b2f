// SPDX-License-Identifier: Apache-2.0
import { SvelteMap } from 'svelte/reactivity'
import * as api from '../../api/client'
import type { Problem, Settings } from '../../api/types'
import { store } from '../../state/store.svelte'
import { sentence } from '../../state/words'

export type Field = keyof Settings

/** Saves settings, a field at a time, and keeps what went wrong with each. */
export class Saving {
  problems = new SvelteMap<Field, Problem>()
  saved = $state<Field>()
  saving = $state<Field>()

  #queue: Promise<void> = Promise.resolve()

  /** Saves one field. Fields that are changed quickly after each other are saved in turn, none over another. */
  save<Name extends Field>(field: Name, value: Settings[Name]): Promise<void> {
    this.#queue = this.#queue.then(() => this.#save(field, value))
    return this.#queue
  }

  async #save<Name extends Field>(field: Name, value: Settings[Name]): Promise<void> {
    this.saving = field
    this.saved = undefined
    try {
      const now = await api.settings()
      const settings = await api.saveSettings({ ...now, [field]: value })
      if (store.snapshot) store.snapshot = { ...store.snapshot, settings }
      this.problems.delete(field)
      this.saved = field
    } catch (error) {
      this.problems.set(field, api.problemOf(error))
    }
    this.saving = undefined
  }

  /** What is wrong with a field, for people. */
  error(field: Field): string | undefined {
    const problem = this.problems.get(field)
    return problem && [problem.message, problem.hint ?? ''].map(sentence).filter(Boolean).join(' ')
  }
}
