// SPDX-License-Identifier: Apache-2.0
// The whole way on a real cluster: install the gateway, connect, intercept, see requests, leave, disconnect. It runs on the
// laptop, so that what it asks with curl goes through the tunnel.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { address, finish, look, open, step, wide, narrow } from './kit.mjs'

const context = process.argv[5]
const page = await open()
const heading = (name, level) => page.getByRole('heading', { name, level }).first().waitFor()
const shown = (text) => page.getByText(text).first().waitFor()
const button = (name) => page.getByRole('button', { name, exact: true })
const dialog = page.getByRole('dialog')
const row = page.getByRole('listitem').filter({ has: page.getByText(context, { exact: true }) })
const curl = (...args) => execFileSync('curl', ['-sS', '-m', '10', ...args], { encoding: 'utf8' })

await step(page, 'the address opens the page once', async () => {
  await page.goto(address)
  await heading('Clusters', 1)
  assert.ok(!page.url().includes('token'), page.url())
  const again = await page.request.get(address)
  assert.equal(again.status(), 403)
})
const own = page.url().split('#')[0]
await step(page, 'install the gateway by click', async () => {
  await shown('No gateway')
  await row.getByRole('button', { name: 'Install gateway' }).click()
  await dialog.getByText('fairlead-gateway').first().waitFor()
  await look(page, 'real-install')
  await dialog.getByRole('button', { name: 'Install gateway' }).click()
  await shown('The gateway is ready')
})
await step(page, 'connect by click', async () => {
  await dialog.getByRole('button', { name: 'Connect' }).click()
  await heading(`Connected to ${context}`, 2)
  const box = page.getByRole('combobox', { name: 'Namespace' })
  await box.fill('shop')
  await box.press('Enter')
  await shown('Short names now resolve in shop.')
  assert.match(curl('http://catalog/'), /catalog/)
  await look(page, 'real-connected')
})
let local
await step(page, 'intercept by click, with the port picker', async () => {
  local = spawn('shop', ['catalog'], { env: { ...process.env, POD_NAME: 'this-laptop' }, stdio: 'ignore' })
  await page.goto(`${own}#/workloads`)
  await heading('Workloads', 1)
  await look(page, 'real-workloads')
  await page.keyboard.press('/')
  await page.keyboard.type('catalog')
  await page.getByRole('button', { name: 'Intercept catalog' }).click()
  await dialog.getByRole('radio', { name: /http/ }).first().check()
  await dialog.getByRole('radio', { name: /8080\s*shop/ }).check()
  const key = dialog.getByLabel('Requests with this header')
  await key.fill('demo')
  await dialog.getByText('x-fairlead: demo').first().waitFor()
  await look(page, 'real-intercept')
  await dialog.getByRole('button', { name: 'Intercept', exact: true }).click()
  await shown('catalog is intercepted')
  await look(page, 'real-intercepted', [wide])
})
await step(page, 'the header that is copied works with curl, and the request list fills', async () => {
  await dialog.getByRole('button', { name: 'Copy the header' }).click()
  const header = await page.evaluate(() => navigator.clipboard.readText())
  assert.equal(header, 'x-fairlead: demo')
  await dialog.getByRole('button', { name: 'See its requests' }).click()
  await page.mouse.move(1, 1)
  assert.match(curl('-H', header, 'http://catalog.shop/'), /this-laptop/)
  assert.doesNotMatch(curl('http://catalog.shop/'), /this-laptop/)
  assert.match(curl('-H', header, 'http://front.shop/'), /this-laptop/)
  await page.getByText('GET').first().waitFor()
  await shown('200')
  await look(page, 'real-requests', [wide, narrow])
})
await step(page, 'two browsers agree; leave by click', async () => {
  const second = await open()
  const { URL: fresh } = { URL: JSON.parse(execFileSync('fairlead', ['open', '--print', '--output', 'json'], { encoding: 'utf8' })).url }
  await second.goto(fresh)
  await second.getByRole('heading', { name: 'Clusters', level: 1 }).waitFor()
  await second.goto(`${second.url().split('#')[0]}#/intercepts`)
  await second.getByText('Copy header').first().waitFor()
  await page.goto(`${own}#/intercepts`)
  await button('Leave').click()
  await shown('Nobody intercepts anything')
  await second.getByText('Nobody intercepts anything').first().waitFor()
  assert.doesNotMatch(curl('-H', 'x-fairlead: demo', 'http://catalog.shop/'), /this-laptop/)
})
await step(page, 'activity and doctor tell of it', async () => {
  await page.goto(`${own}#/activity`)
  await shown('Connected to')
  await look(page, 'real-activity')
  await page.goto(`${own}#/doctor`)
  await shown('Save support bundle')
  await look(page, 'real-doctor')
})
await step(page, 'disconnect by click', async () => {
  await page.goto(`${own}#/clusters`)
  await button('Disconnect').click()
  await page.locator('#connection').waitFor({ state: 'detached' })
  assert.throws(() => curl('http://catalog.shop/'))
})
local.kill()
await finish(['403'])
