// SPDX-License-Identifier: Apache-2.0
// Comes in by the door of a real daemon, as a person does, and sees that nobody else can. tests/browser runs it against
// one whose backend does what the name of the context says, and ends that daemon when it reads "end the daemon" here.
import assert from 'node:assert/strict'
import { address, browser, finish, look, open, step } from './kit.mjs'

const page = await open()
const heading = (name, level) => page.getByRole('heading', { name, level }).first().waitFor()
const row = (page, name) => page.getByRole('listitem').filter({ has: page.getByText(name, { exact: true }) })

await step(page, 'a link from another site opens the page', async () => {
  await page.setContent(`<a href="${address}">open</a>`)
  await page.getByRole('link').click()
  await heading('Clusters', 1)
  assert.match(page.url(), /\/visit\/[A-Z2-7]+\/(#.*)?$/)
})
await step(page, 'no script can read the cookie', async () => assert.equal(await page.evaluate(() => document.cookie), ''))
await step(page, 'an attempt that fails says why and what to do', async () => {
  await row(page, 'broken').getByRole('button', { name: 'Connect' }).click()
  await page.getByText('The cluster of context "broken" has no gateway.').waitFor()
  await page.getByText('fairlead gateway install', { exact: true }).waitFor()
})
await step(page, 'an attempt can be cancelled', async () => {
  await row(page, 'slow').getByRole('button', { name: 'Connect' }).click()
  await heading('Connecting to slow', 2)
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.locator('#connection').waitFor({ state: 'detached' })
})
await step(page, 'connect and disconnect', async () => {
  await row(page, 'dev').getByRole('button', { name: 'Connect' }).click()
  await heading('Connected to dev', 2)
  await page.getByRole('button', { name: 'Disconnect' }).click()
  await page.locator('#connection').waitFor({ state: 'detached' })
})
await step(page, 'another face of Fairlead is seen here at once', async () => {
  const other = await page.context().newPage()
  await other.goto(page.url())
  await row(other, 'weak').getByRole('button', { name: 'Connect' }).click()
  await heading('Nothing gets through to weak at the moment', 2)
  await other.getByRole('button', { name: 'Disconnect' }).click()
  await page.locator('#connection').waitFor({ state: 'detached' })
  await other.close()
})
await step(page, 'the address opens nothing for a second browser', async () => {
  const stranger = await browser.newContext()
  const theirs = await stranger.newPage()
  for (const url of [address, page.url().replace(/#.*/, '')]) {
    assert.equal((await theirs.goto(url)).status(), 403)
  }
  await stranger.close()
})
await step(page, 'when the daemon has gone, the page does not go on to say what it no longer knows', async () => {
  await row(page, 'dev').getByRole('button', { name: 'Connect' }).click()
  await heading('Connected to dev', 2)
  console.log('end the daemon')
  await heading('Fairlead does not answer', 1)
  assert.equal(await page.getByText('Connected to dev').count(), 0)
  await look(page, 'daemon-ended')
})
await finish(['502', '499', 'ERR_', 'Failed to load resource'])
