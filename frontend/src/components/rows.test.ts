// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { move, reveal, visible } from './rows'

test.each([
  ['empty', 0, 0, 400, { first: 0, end: 0 }],
  ['the top', 5000, 0, 400, { first: 0, end: 18 }],
  ['the middle', 5000, 40_000, 400, { first: 992, end: 1018 }],
  ['the end', 5000, 199_600, 400, { first: 4982, end: 5000 }],
  ['beyond the end, after rows have gone', 3, 199_600, 400, { first: 2, end: 3 }],
  ['above the top, as some browsers bounce', 5000, -50, 400, { first: 0, end: 18 }],
  ['not laid out yet', 5000, 0, 0, { first: 0, end: 8 }],
])('visible: %s', (_, count, top, height, want) => expect(visible(count, 40, top, height)).toEqual(want))

test.each([
  [10, 0, 400, 40],
  [9, 0, 400, 0],
  [2, 200, 400, 80],
  [7, 200, 400, 200],
])('row %d of a list at %d', (index, top, height, want) => expect(reveal(index, 40, top, height)).toBe(want))

test.each([
  ['ArrowDown', -1, 5, 0],
  ['ArrowDown', 4, 5, 4],
  ['ArrowUp', -1, 5, 4],
  ['ArrowUp', 0, 5, 0],
  ['PageDown', 0, 50, 10],
  ['PageUp', 3, 50, 0],
  ['Home', 3, 5, 0],
  ['End', 3, 5, 4],
  ['ArrowDown', -1, 0, undefined],
  ['x', 1, 5, undefined],
])('%s from %d of %d', (key, index, count, want) => expect(move(key, index, count, 10)).toBe(want))
