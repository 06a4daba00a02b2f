// SPDX-License-Identifier: Apache-2.0
// Short words on what a click has done. They are read out, shown for a while, and needed for nothing.
import type { Tone } from './words'

export interface Toast {
  id: number
  text: string
  tone: Tone
}

const shownFor = 5000 // milliseconds, for a text of usual length

class Toasts {
  shown = $state<Toast[]>([])
  /** What screen readers say next. */
  said = $state('')
  #next = 1

  show(text: string, tone: Tone): void {
    const toast = { id: this.#next++, text, tone }
    this.shown = [...this.shown.filter((other) => other.text !== text), toast].slice(-3)
    setTimeout(() => this.close(toast.id), shownFor + text.length * 40)
  }

  close(id: number): void {
    this.shown = this.shown.filter((toast) => toast.id !== id)
  }
}

export const toasts = new Toasts()

/** Says a text to screen readers; with a tone, shows it too. */
export function announce(text: string, tone?: Tone): void {
  toasts.said = toasts.said === text ? `${text}\u00a0` : text // the same text again is a change only if it differs
  if (tone) toasts.show(text, tone)
}
