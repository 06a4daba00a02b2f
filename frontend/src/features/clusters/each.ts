// SPDX-License-Identifier: Apache-2.0

/** Does something with each item, in their order and some at a time, until the signal ends it. */
export async function each<Item>(items: readonly Item[], atATime: number, run: (item: Item) => Promise<void>, signal: AbortSignal): Promise<void> {
  const rest = [...items]
  const worker = async () => {
    for (let item = rest.shift(); item !== undefined && !signal.aborted; item = rest.shift()) await run(item)
  }
  await Promise.all(Array.from({ length: atATime }, worker))
}
