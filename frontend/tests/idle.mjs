// SPDX-License-Identifier: Apache-2.0
// A page that is looked at and not used, while the test measures what that costs.
import { address, finish, open, step } from './kit.mjs'
import { ask, context, on } from './laptop.mjs'

const page = await open()
const { go, heading, shown } = on(page)

await step(page, 'clusters', async () => {
  await page.goto(address)
  await heading(`Connected to ${context}`, 2)
  await ask('measure clusters')
})
await step(page, 'workloads', async () => {
  await go('workloads')
  await shown(`namespaces of ${context}`)
  await ask('measure workloads')
})
await finish()
