// SPDX-License-Identifier: Apache-2.0
// The whole way on a real cluster with the keyboard alone: connect, search, intercept with the port picker, copy the header, see a
// request, leave, disconnect. Nothing here moves the focus or clicks but keys.
import assert from 'node:assert/strict'
import { address, finish, focused, focusShown, look, open, step, wide } from './kit.mjs'
import { context, curl, localCatalog, on } from './laptop.mjs'

const page = await open()
const { dialog, heading, shown } = on(page)
const press = (...keys) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve())
const clipboard = () => page.evaluate(() => navigator.clipboard.readText())

/** What has the focus: its name, as its label, its text or what labels it say it, and whether it is chosen. */
const focus = () =>
  page.evaluate(() => {
    const element = document.activeElement
    const name = element?.getAttribute('aria-label') ?? element?.labels?.[0]?.textContent ?? element?.textContent ?? ''
    return { name: name.replace(/\s+/g, ' ').trim(), checked: element?.checked === true, role: element?.getAttribute('role') ?? '' }
  })
/** Presses a key until what has the focus is called like that. */
async function to(name, key = 'Tab', role = undefined) {
  const passed = []
  for (let i = 0; i < 60; i++) {
    await press(key)
    assert.equal(await focusShown(page), '', 'the focus is not to be seen')
    const is = await focus()
    if (name.test(is.name) && (role === undefined || role === is.role)) return is
    passed.push(is.name)
  }
  assert.fail(`no ${name} by ${key}; passed ${passed.join(' | ')}`)
}

const local = localCatalog()
await step(page, 'connect', async () => {
  await page.goto(address)
  await heading('Clusters', 1)
  await shown(/Gateway \d/)
  await to(/^Connect$/)
  await press('Enter')
  await heading(`Connected to ${context}`, 2)
  await to(/^Namespace$/)
  await page.keyboard.type('shop')
  await press('Enter')
  await shown('Short names now resolve in shop.')
})
await step(page, 'search', async () => {
  await to(/^Disconnect$/)
  await press('g', 'w')
  await heading('Workloads', 1)
  await page.getByRole('grid', { name: 'Workloads' }).waitFor()
  await press('/')
  assert.equal(await focused(page), 'Search workloads')
  await page.keyboard.type('catalog')
  await press('Enter', 'Enter')
  await heading('Intercept catalog', 2)
})
await step(page, 'choose ports and a header', async () => {
  await dialog.getByText('on this laptop;').first().waitFor()
  await to(/http/)
  await to(/^\d+ ?[a-z]/)
  await to(/^Another port/, 'ArrowDown')
  const program = await to(/^8080 ?shop/, 'ArrowUp')
  assert.ok(program.checked)
  await to(/^(Only mine|All traffic)$/)
  await to(/^Requests with this header/)
  await press('ControlOrMeta+a')
  await page.keyboard.type('by-keys')
  await dialog.getByText('x-fairlead: by-keys').first().waitFor()
  await look(page, 'real-keyboard-dialog')
  await to(/^Intercept$/)
  await press('Enter')
  await heading('catalog is intercepted', 2)
})
await step(page, 'copy the header, and see a request of it', async () => {
  await to(/^Copy the header$/)
  await press('Enter')
  assert.equal(await clipboard(), 'x-fairlead: by-keys')
  await to(/^See its requests$/)
  await press('Enter')
  await heading('catalog', 1)
  assert.match(curl('-H', await clipboard(), 'http://catalog/'), /this-laptop/)
  await page.getByRole('grid', { name: 'Requests' }).waitFor()
  await to(/^Requests$/, 'Tab', 'grid')
  await press('Home')
  await page.getByRole('region', { name: /^Request / }).waitFor()
  await look(page, 'real-keyboard-request', [wide])
  await press('Escape')
  await page.getByRole('region', { name: /^Request / }).waitFor({ state: 'detached' })
})
await step(page, 'leave', async () => {
  await to(/^Leave$/, 'Shift+Tab')
  await press('Enter')
  await shown('Nobody intercepts anything')
})
await step(page, 'disconnect', async () => {
  await press('g', 'c')
  await heading(`Connected to ${context}`, 2)
  await to(/^Disconnect$/)
  await press('Enter')
  await page.locator('#connection').waitFor({ state: 'detached' })
  assert.equal(await focused(page), 'Clusters')
  await to(/^Connect$/)
})
local.end()
await finish()
