// SPDX-License-Identifier: Apache-2.0
// What the page says on a real cluster while nothing gets through, or less than people think, and that it comes back by itself.
import assert from 'node:assert/strict'
import { address, finish, look, open, step, until } from './kit.mjs'
import { ask, context, curl, localCatalog, on, run } from './laptop.mjs'

const page = await open()
const { button, gone, go, heading, row, shown } = on(page)
const mine = () => curl('-H', 'x-fairlead: demo', 'http://catalog.shop/')
const gateway = () => page.getByText(/^fairlead\/fairlead-gateway-/).innerText()

/** Notes what the page's connection is said to be, from now on. */
const listen = () =>
  page.evaluate(() => {
    const said = (globalThis.said = [])
    const note = () => {
      const now = document.querySelector('header .pill strong')?.textContent?.trim() ?? ''
      if (now !== said.at(-1)?.text) said.push({ text: now, at: Date.now() })
    }
    globalThis.listening?.disconnect()
    globalThis.listening = new MutationObserver(note)
    globalThis.listening.observe(document.body, { subtree: true, childList: true, characterData: true })
    note()
  })
const said = () => page.evaluate(() => globalThis.said)

const local = localCatalog()
await step(page, 'connected, and a workload intercepted', async () => {
  await page.goto(address)
  await row.getByRole('button', { name: 'Connect' }).click()
  await heading(`Connected to ${context}`, 2)
  run('fairlead', 'intercept', 'catalog', '--namespace', 'shop', '--port', '8080:http', '--key', 'demo')
  await go('workloads')
  await shown(`namespaces of ${context}`)
  await go('intercepts')
  await shown('Active')
})
await until('a request that comes here', async () => /this-laptop/.test(mine()))

await step(page, 'unplugged: within seconds it says that nothing gets through, and what to do', async () => {
  await go('clusters')
  await heading(`Connected to ${context}`, 2)
  await listen()
  const began = Date.now()
  await ask('unplug the laptop')
  await heading(`Nothing gets through to ${context} at the moment`, 2)
  console.log(`unplugged: said after ${Date.now() - began} ms`)
  await shown('Fairlead connects again by itself as soon as the cluster answers. Check the network of this laptop if it takes long.')
  await shown('None answers')
  await shown('Names of the cluster do not resolve')
  await button('Find out why').first().waitFor()
  await look(page, 'real-unplugged')
})
await step(page, 'unplugged: every screen says so', async () => {
  await go('intercepts')
  await shown('Suspended')
  await shown('This laptop is not connected at the moment; the app gets the requests.')
  await look(page, 'real-unplugged-intercepts')
  await go('workloads')
  await shown(`Nothing gets through to ${context} at the moment; what is shown may be old.`)
  await look(page, 'real-unplugged-workloads')
  await go('activity')
  await shown('no way to it carries data')
  await look(page, 'real-unplugged-activity')
  const words = (await said()).map((s) => s.text)
  const from = words.findIndex((text) => text.startsWith('Reconnecting'))
  assert.ok(from >= 0 && !words.slice(from).some((text) => text.startsWith('Connected')), words.join(', '))
})
await step(page, 'plugged in: it is back by itself, and so is the intercept', async () => {
  await go('clusters')
  await ask('plug the laptop in')
  await heading(`Connected to ${context}`, 2)
  await gone('no way to it carries data')
  await until('a request that comes here', async () => /this-laptop/.test(mine()))
  await go('intercepts')
  await shown('Active')
})
await step(page, 'the gateway pod is deleted: another takes over, and the intercept goes on', async () => {
  await go('clusters')
  const before = await gateway()
  await listen()
  await ask('delete the gateway pod')
  await until('another gateway', async () => (await gateway()) !== before)
  await heading(`Connected to ${context}`, 2)
  await until('a request that comes here', async () => /this-laptop/.test(mine()))
  await go('intercepts')
  await shown('Active')
  console.log(`gateway deleted: ${(await said()).map((s) => s.text.replace(/\s+/g, ' ')).join(', ')}`)
})
await step(page, 'the API server is down: what works goes on, and the page says what does not', async () => {
  await go('clusters')
  await ask('stop the API server')
  await shown('The API server has not answered since')
  await heading(`Connected to ${context}`, 2) // by UDP, which does not need it
  assert.match(mine(), /this-laptop/)
  await look(page, 'real-no-api-server')
  await go('workloads')
  await shown('What is shown may be old.')
  await shown("Check that the cluster runs, and the server's address")
  await look(page, 'real-no-api-server-workloads')
})
await step(page, 'the API server is back', async () => {
  await ask('start the API server')
  await gone('What is shown may be old.')
  await go('clusters')
  await gone('The API server has not answered since')
  await heading(`Connected to ${context}`, 2)
  await go('intercepts')
  await shown('Active')
  await until('a request that comes here', async () => /this-laptop/.test(mine()))
})
await step(page, 'leave and disconnect', async () => {
  await button('Leave').click()
  await shown('Nobody intercepts anything')
  await go('clusters')
  await button('Disconnect').click()
  await page.locator('#connection').waitFor({ state: 'detached' })
})
local.end()
await finish(['502', 'Failed to load resource'])
