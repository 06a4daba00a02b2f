// SPDX-License-Identifier: Apache-2.0
// Files that the page has for people: by the desktop's dialog in the window, else where the browser puts such files.
import { inWindow, saveAs } from '../api/window'
import { announce } from './toasts.svelte'

/** How long the content stays in memory after it was handed to the browser, which reads it in its own time; in milliseconds. */
const keptFor = 60_000

/** Saves a file, and says so. False if the user has thought better of it. */
export async function saveFile(title: string, name: string, content: Blob): Promise<boolean> {
  let saved: string | undefined = name
  if (inWindow()) saved = await saveAs(title, name, content)
  else download(name, content)
  if (saved) announce(`Saved ${saved}.`, 'good')
  return saved !== undefined
}

function download(name: string, content: Blob): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(content)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), keptFor)
}
