// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { ranges, wrongRange } from './ranges'

test.each([
  ['', undefined],
  ['10.0.0.0/8', undefined],
  ['10.0.0.0/8, 192.0.2.7 fd00::/8;2001:db8::1', undefined],
  ['10.0.0.0/33', '10.0.0.0/33'],
  ['10.0.0', '10.0.0'],
  ['10.0.0.256', '10.0.0.256'],
  ['fd00::/129', 'fd00::/129'],
  ['fd00:::1', 'fd00:::1'],
  ['web', 'web'],
  ['1.2.3.4/8/8', '1.2.3.4/8/8'],
  ['010.0.0.1', '010.0.0.1'],
])('%o', (text, wrong) => {
  if (wrong) expect(wrongRange(text)).toContain(`${wrong} is not`)
  else expect(wrongRange(text)).toBeUndefined()
})

test('ranges are separated by commas and spaces', () => expect(ranges(' a, b\nc ')).toEqual(['a', 'b', 'c']))
