// SPDX-License-Identifier: Apache-2.0
// The whole way on a real cluster: install the gateway, connect, intercept, see requests, leave, disconnect. It runs on the
// laptop, so that what it asks with curl goes through the tunnel.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { address, finish, look, narrow, open, step, wide } from './kit.mjs'
import { context, curl, localCatalog, on, openedAddress, run } from './laptop.mjs'

const page = await open()
const { button, dialog, heading, row, shown } = on(page)

await step(page, 'the address opens the page once', async () => {
  await page.goto(address)
  await heading('Clusters', 1)
  assert.ok(!page.url().includes('token'), page.url())
  const again = await page.request.get(address)
  assert.equal(again.status(), 403)
})
const own = page.url().split('#')[0]
const asked = []
page.on('request', (request) => asked.push(request.url()))
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
  local = localCatalog()
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
  await second.goto(await openedAddress()) // signed in, as the browser that fairlead open starts
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
await step(page, 'nothing secret is in addresses, in the log or in the support bundle', async () => {
  const token = new URL(address).searchParams.get('token')
  const [{ value: cookie }] = await page.context().cookies(own)
  const { users } = JSON.parse(run('kubectl', 'config', 'view', '--raw', '--output', 'json'))
  const credentials = users.flatMap(({ user }) => [user.token, user['client-key-data'], user.password]).filter(Boolean)
  const secrets = [token, cookie, ...credentials]
  assert.ok(token && cookie && credentials.length > 0 && secrets.every((secret) => secret.length > 15))
  const has = (text) => secrets.some((secret) => text.includes(secret))
  assert.ok(asked.length > 20)
  assert.deepEqual(asked.filter(has), [])
  assert.ok(!has(readFileSync(`${process.env.HOME}/.local/state/fairlead/daemon.log`, 'utf8')))
  await page.goto(`${own}#/doctor`)
  await button('Save support bundle…').click()
  await dialog.getByText('daemon.log', { exact: true }).waitFor()
  const download = page.waitForEvent('download')
  await dialog.getByRole('button', { name: 'Save', exact: true }).click()
  const bundle = run('unzip', '-p', await (await download).path())
  assert.match(bundle, /connected/)
  assert.ok(!has(bundle) && !bundle.includes(new URL(own).pathname))
})
await step(page, 'disconnect by click', async () => {
  await page.goto(`${own}#/clusters`)
  await button('Disconnect').click()
  await page.locator('#connection').waitFor({ state: 'detached' })
  assert.throws(() => curl('http://catalog.shop/'))
})
local.end()
await finish(['403'])
