// SPDX-License-Identifier: Apache-2.0
// The daemon is killed and quits under a page of a real cluster: the page says so, and comes back by itself when a daemon runs again.
import assert from 'node:assert/strict'
import { address, finish, look, narrow, open, step, until, wide } from './kit.mjs'
import { ask, context, curl, localCatalog, on, run } from './laptop.mjs'

const page = await open()
const { button, dialog, go, heading, row, shown } = on(page)
const path = () => new URL(page.url()).pathname
const key = dialog.getByLabel('Requests with this header')

const local = localCatalog()
await step(page, 'connected, intercepting, and filling in another intercept', async () => {
  await page.goto(address)
  await row.getByRole('button', { name: 'Connect' }).click()
  await heading(`Connected to ${context}`, 2)
  run('fairlead', 'intercept', 'catalog', '--namespace', 'shop', '--port', '8080:http', '--key', 'demo')
  await page.evaluate(() => (globalThis.sameDocument = true))
  await go('intercept?workload=deployment/front&namespace=shop')
  await until('a key that was made up', async () => (await key.inputValue()) !== '')
  await key.fill('not-sent-yet')
})
const before = path()
await step(page, 'the daemon is killed: the page says so, and shows nothing that it does not know', async () => {
  await ask('kill the daemon')
  await heading('Fairlead does not answer', 1)
  assert.equal(await page.getByText(`Connected to ${context}`).count(), 0)
  await shown('The page goes on trying.')
  await look(page, 'real-daemon-killed')
})
await step(page, 'a new daemon: the page is back by itself, with what was filled in', async () => {
  run('fairlead', 'connect', '--namespace', 'shop')
  await heading('Intercept front', 2)
  assert.equal(await key.inputValue(), 'not-sent-yet')
  assert.ok(await page.evaluate(() => globalThis.sameDocument))
  assert.notEqual(path(), before)
  await page.keyboard.press('Escape')
  await go('clusters')
  await heading(`Connected to ${context}`, 2)
})
await step(page, 'the intercept was kept by the cluster, and goes on', async () => {
  await go('intercepts')
  await shown('Active')
  await until('a request that comes here', async () => /this-laptop/.test(curl('-H', 'x-fairlead: demo', 'http://catalog.shop/')))
  await look(page, 'real-daemon-back', [wide, narrow])
})
await step(page, 'it can be loaded again', async () => {
  await page.reload()
  await shown('Active')
  await page.evaluate(() => (globalThis.sameDocument = true))
})
await step(page, 'the daemon quits, and is started again', async () => {
  run('fairlead', 'quit')
  await heading('Fairlead does not answer', 1)
  await look(page, 'real-daemon-quit', [wide])
  run('fairlead', 'connect', '--namespace', 'shop')
  await heading('Intercepts', 1)
  assert.ok(await page.evaluate(() => globalThis.sameDocument))
})
await step(page, 'disconnect by click, as ever', async () => {
  await go('clusters')
  await button('Disconnect').click()
  await page.locator('#connection').waitFor({ state: 'detached' })
})
local.end()
await finish(['ERR_', '401', 'Failed to load resource'])
