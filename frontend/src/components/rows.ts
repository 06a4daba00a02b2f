// SPDX-License-Identifier: Apache-2.0
// Which rows of a long list are drawn: a pure function of where it is scrolled to. All rows are equally high.

/** Rows from first up to, but not including, end. */
export interface Range {
  first: number
  end: number
}

/** Rows beyond the edges that are drawn, so that scrolling does not show gaps. */
const spare = 8

/** The rows to draw of a list that is scrolled to top, in a view of that height; all lengths in pixels. */
export function visible(count: number, rowHeight: number, top: number, height: number): Range {
  if (count <= 0 || rowHeight <= 0) return { first: 0, end: 0 }
  const last = Math.max(0, count - 1)
  const first = Math.min(last, Math.max(0, Math.floor(top / rowHeight) - spare))
  const end = Math.min(count, Math.ceil((Math.max(0, top) + Math.max(0, height)) / rowHeight) + spare)
  return { first, end: Math.max(end, first + 1) }
}

/** Where to scroll to so that the row is wholly seen; the same place if it is already. */
export function reveal(index: number, rowHeight: number, top: number, height: number): number {
  const begin = index * rowHeight
  if (begin < top) return begin
  if (begin + rowHeight > top + height) return Math.max(0, begin + rowHeight - height)
  return top
}

/** The row that a key leads to; undefined for a key that leads nowhere. From -1, which is none, any leads into the list. */
export function move(key: string, index: number, count: number, perPage: number): number | undefined {
  if (count === 0) return undefined
  const within = (n: number) => Math.min(count - 1, Math.max(0, n))
  switch (key) {
    case 'ArrowDown':
      return within(index + 1)
    case 'ArrowUp':
      return index < 0 ? count - 1 : within(index - 1)
    case 'PageDown':
      return within(Math.max(index, 0) + Math.max(1, perPage))
    case 'PageUp':
      return within(Math.max(index, 0) - Math.max(1, perPage))
    case 'Home':
      return 0
    case 'End':
      return count - 1
  }
  return undefined
}
