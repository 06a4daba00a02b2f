// SPDX-License-Identifier: Apache-2.0
// The keys that work on every screen.

export interface KeyBinding {
  /** Keys, one after the other, such as 'g c'. */
  keys: string
  what: string
  run: () => void
}

/** How long after the first key of two the second one counts, in milliseconds. */
const together = 1200

/** Runs what is bound to the keys pressed. Keys typed into a text are left alone, and those for an open dialog too. */
export function keyboard(bindings: readonly KeyBinding[]): (event: KeyboardEvent) => void {
  let before = ''
  let at = 0
  return (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isText(event.target)) return
    if (document.querySelector('dialog[open]')) return
    const first = before && event.timeStamp - at < together ? `${before} ` : ''
    before = ''
    const bound = bindings.find((b) => b.keys === first + event.key) ?? bindings.find((b) => b.keys === event.key)
    if (bound) {
      event.preventDefault()
      bound.run()
    } else if (bindings.some((b) => b.keys.startsWith(`${event.key} `))) {
      before = event.key
      at = event.timeStamp
    }
  }
}

function isText(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true
  return target instanceof HTMLInputElement && !['checkbox', 'radio', 'button'].includes(target.type)
}

/** Puts the focus on what the screen has for searching: an element with data-search. */
export function focusSearch(): void {
  const search = document.querySelector<HTMLInputElement>('main [data-search]')
  search?.focus()
  search?.select()
}
