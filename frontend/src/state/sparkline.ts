// SPDX-License-Identifier: Apache-2.0
// The path of a line of values in a box of 120 by 32, as SVG has it.

const [width, height, edge] = [120, 32, 1]

/** The line of the last values; the newest is at the right edge, and missing ones on the left are at the bottom. */
export function line(values: readonly number[], length: number, most?: number): string {
  const last = values.slice(-length)
  const top = Math.max(most ?? 0, ...last, 1)
  const all = [...Array<number>(length - last.length).fill(0), ...last]
  return all
    .map((value, i) => {
      const x = (i * width) / (length - 1)
      const y = height - edge - (Math.max(0, value) / top) * (height - 2 * edge)
      return `${i === 0 ? 'M' : 'L'}${round(x)} ${round(y)}`
    })
    .join('')
}

/** What is below that line. */
export const area = (points: string) => `${points}L${width} ${height}L0 ${height}Z`

const round = (n: number) => Math.round(n * 100) / 100
