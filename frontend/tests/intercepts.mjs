// SPDX-License-Identifier: Apache-2.0
// Intercepts and their requests, against a daemon that shows scenes.
import assert from 'node:assert/strict'
import { address, finish, huge, look, narrow, open, scene, step, wide } from './kit.mjs'

const page = await open()
const heading = (name, level = 1) => page.getByRole('heading', { name, level }).first().waitFor()
const shown = (text) => page.getByText(text).first().waitFor()
const button = (name) => page.getByRole('button', { name, exact: true })
const go = (route) => page.goto(new URL(`#/${route}`, address).href)
const clipboard = () => page.evaluate(() => navigator.clipboard.readText())
const all = [wide, narrow, huge]
const until = async (what, condition) => {
  for (const began = Date.now(); Date.now() - began < 5000; await page.waitForTimeout(20)) if (await condition()) return
  assert.fail(`never: ${what}`)
}

await step(page, 'no intercepts', async () => {
  await scene('disconnected')
  await go('intercepts')
  await shown('Not connected to a cluster')
  await scene('intercepts-none')
  await heading('Nobody intercepts anything', 2)
  await look(page, 'intercepts-none')
  await scene('intercepts-others')
  await page.reload()
  await shown('ben@example.com')
  await page.getByRole('tab', { name: /^Mine/ }).click()
  await heading('Nothing comes to this laptop', 2)
})
await step(page, 'mine, with how each is', async () => {
  await scene('intercepts')
  await page.getByRole('tab', { name: /^Mine/ }).click()
  for (const text of ['Active', 'Nothing listens on 127.0.0.1:4000; requests go to the cluster meanwhile.', '1 of 3 pods has confirmed.', '48,211']) await shown(text)
  await look(page, 'intercepts', all)
  await page.getByRole('article', { name: 'cart-api' }).getByRole('button', { name: 'Copy header' }).click()
  assert.equal(await clipboard(), 'x-fairlead: ada-7f3c')
})
await step(page, "everyone's, and ending another one's", async () => {
  await page.getByRole('tab', { name: /^Everyone/ }).click()
  await look(page, 'intercepts-everyone', all)
  await scene('may-not', true)
  const end = async () => {
    await button('Actions for orders-ben-22aa').click()
    await page.getByRole('menuitem', { name: 'Leave…' }).click()
    await heading('End the intercept of orders?', 2)
  }
  await end()
  await look(page, 'intercept-end')
  await button('Keep it').click()
  await end()
  await button('End it').click()
  await shown('You may not end an intercept of ben@example.com.')
  await look(page, 'intercepts-refused')
})
await step(page, 'leaving is seen at once, and done when it is done', async () => {
  await page.getByRole('tab', { name: /^Mine/ }).click()
  const card = page.getByRole('article', { name: 'checkout-web' })
  await card.getByRole('button', { name: 'Leave' }).click()
  await card.getByText('Leaving').waitFor()
  await look(page, 'intercepts-leaving', [wide])
  await card.waitFor({ state: 'detached' })
})

const list = page.getByRole('grid', { name: 'Requests' })
const paths = () => list.locator('.rows [role=row]').count()
const requestCount = async () => Number(await list.getAttribute('aria-rowcount')) - 1
await step(page, 'requests as they come', async () => {
  await scene('intercepts')
  await page.getByRole('link', { name: 'cart-api', exact: true }).click()
  await heading('cart-api')
  await list.waitFor()
  assert.equal(await requestCount(), 60)
  assert.ok((await paths()) < 60)
  await look(page, 'requests', all)
  await scene('request', true)
  await until('one more', async () => (await requestCount()) === 61)
})
await step(page, 'a request that ends takes its own place', async () => {
  await page.getByRole('searchbox', { name: 'Filter requests' }).fill('websocket 101')
  await until('the filter', async () => (await requestCount()) < 10)
  const before = await requestCount()
  await scene('request-ends', true)
  await list.getByText('12 min').waitFor()
  assert.equal(await requestCount(), before)
  await page.getByRole('searchbox', { name: 'Filter requests' }).fill('')
})
await step(page, 'nothing jumps while somebody points at it', async () => {
  await list.locator('.rows [role=row]').nth(2).hover()
  await page.locator('.list:hover').waitFor() // a page that is busy sees the pointer later
  const before = await list.locator('.rows [role=row]').first().innerText()
  await scene('requests', true)
  await button('25 new').waitFor()
  await shown('240 requests left out: there were too many to show.')
  assert.equal(await list.locator('.rows [role=row]').first().innerText(), before)
  await look(page, 'requests-new', [wide])
  await button('25 new').click()
  await until('the new ones', async () => (await requestCount()) === 86)
})
await step(page, 'one in detail, with the keyboard', async () => {
  await list.focus()
  await page.keyboard.press('Home')
  for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowDown')
  await page.getByRole('region', { name: /^Request / }).waitFor()
  await look(page, 'request', [wide])
  await look(page, 'request', [narrow])
  await scene('request', true)
  await button('1 new').waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('region', { name: /^Request / }).waitFor({ state: 'detached' })
  await page.locator('h1').focus()
  await page.mouse.move(5, 5)
  await until('the new one', async () => (await requestCount()) === 87)
})
await step(page, 'pause, filter and clear', async () => {
  await button('Pause').click()
  await scene('requests', true)
  await button('Resume, 25 new').waitFor()
  assert.equal(await requestCount(), 87)
  await look(page, 'requests-paused', [wide])
  await button('Resume, 25 new').click()
  await until('all', async () => (await requestCount()) === 112)
  await page.getByRole('radio', { name: 'Failed' }).check()
  await until('the failed', async () => (await requestCount()) < 60)
  await page.getByRole('searchbox', { name: 'Filter requests' }).fill('5xx nowhere')
  await heading('Nothing matches', 2)
  await look(page, 'requests-nothing', [wide])
  await button('Clear the filter').click()
  await button('Clear').click()
  await shown('Waiting for the next request')
  await page.getByText('They appear here as they come.').hover() // nothing is there yet that could jump
  await scene('request', true)
  await until('one', async () => (await requestCount()) === 1)
  await page.mouse.move(5, 5)
})
await step(page, 'share: header, baggage, command and a text', async () => {
  await page.getByRole('tab', { name: 'Share' }).click()
  await look(page, 'share')
  for (const [name, text] of [
    ['Copy the header', 'x-fairlead: ada-7f3c'],
    ['Copy the baggage line', 'baggage: fairlead=ada-7f3c'],
    ['Copy the command', "curl -H 'x-fairlead: ada-7f3c' http://cart-api.shop/"],
  ]) {
    await button(name).click()
    assert.equal(await clipboard(), text)
  }
  await button('Copy the text').click()
  assert.match(await clipboard(), /^Requests to cart-api with this header go to ada's laptop:/)
})
await step(page, 'pods and environment', async () => {
  await page.getByRole('tab', { name: /^Pods/ }).click()
  await shown('2 connections from before the intercept still go to the app.')
  await look(page, 'pods')
  await page.getByRole('tab', { name: 'Environment' }).click()
  await shown('secret, left out')
  await look(page, 'environment')
})
await step(page, 'intercepts in other states', async () => {
  await go('intercepts/checkout')
  await shown('Nothing listens on 127.0.0.1:4000; requests go to the cluster meanwhile.')
  await shown('Could not be read')
  await look(page, 'intercept-silent')
  await go('intercepts/mailer')
  await shown('Its laptop has not been heard for 40 s; requests go to the app.')
  await look(page, 'intercept-other')
  await scene('no-requests')
  await go('intercepts/search')
  await shown('No requests yet')
  await look(page, 'requests-none')
})
await finish(['502', 'ERR_INCOMPLETE_CHUNKED_ENCODING', 'ERR_EMPTY_RESPONSE', 'ERR_INVALID_CHUNKED_ENCODING', 'ERR_CONNECTION'])
