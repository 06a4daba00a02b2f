// SPDX-License-Identifier: Apache-2.0

/** Copies a text. It is true if the browser let it. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return copyBySelection(text) // web views of windows may refuse the clipboard to pages, and allow this
  }
}

function copyBySelection(text: string): boolean {
  const had = document.activeElement
  const area = document.createElement('textarea')
  area.value = text
  area.className = 'sr-only'
  const parent = had?.closest('dialog') ?? document.body // outside an open dialog nothing can be selected
  parent.append(area)
  area.select()
  const done = document.execCommand('copy')
  area.remove()
  if (had instanceof HTMLElement) had.focus()
  return done
}
