// SPDX-License-Identifier: Apache-2.0

/** How long the text stays in memory after it was handed to the browser, in milliseconds. */
const keptFor = 10_000

/** Saves a text as a file, where the browser puts such files. */
export function saveFile(name: string, text: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), keptFor)
}
