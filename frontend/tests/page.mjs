// SPDX-License-Identifier: Apache-2.0
// Uses the page in a real browser, as a person with a keyboard would. tests/browser runs it against a daemon whose
// backend does what the name of the context says, and ends that daemon when it reads "end the daemon" here.
//
//   node page.mjs BROWSER ADDRESS FOLDER-FOR-SCREENSHOTS
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'

const [executablePath, address, screenshots] = process.argv.slice(2)
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const browser = await chromium.launch({
  executablePath,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
})
const context = await browser.newContext({ viewport: { width: 900, height: 1000 } })
const page = await context.newPage()
page.setDefaultTimeout(20_000)

const complaints = []
page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()))
page.on('pageerror', (error) => complaints.push(String(error)))
const elsewhere = []
page.on('request', (request) => request.url().startsWith(new URL(address).origin) || elsewhere.push(request.url()))

const state = (text) => page.getByRole('heading', { level: 1, name: text }).waitFor()
const shown = (text) => page.getByText(text).first().waitFor()

/** Looks at the page in both colour schemes: no fault by WCAG A and AA, and a picture of each. */
async function look(name) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.evaluate(axe)
    const { violations } = await page.evaluate(() =>
      globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }),
    )
    const faults = violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target}: ${n.failureSummary}`).join('; ')}`)
    assert.deepEqual(faults, [], `accessibility of "${name}", ${colorScheme}`)
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth)
    assert.equal(wide, false, `"${name}" is wider than the window`)
    await page.screenshot({ path: `${screenshots}/${name}-${colorScheme}.png`, fullPage: true })
  }
}

async function choose(name, namespace = '') {
  await page.getByLabel('Cluster (kubeconfig context)').selectOption(name)
  await page.getByLabel('Namespace').fill(namespace)
}

async function step(name, run) {
  try {
    await run()
    console.log(`ok: ${name}`)
  } catch (error) {
    await page.screenshot({ path: `${screenshots}/failed.png`, fullPage: true }).catch(() => undefined)
    console.log(`FAILED: ${name}\n${error.stack}\npage: ${page.url()}\n${await page.innerText('body').catch(() => '')}\n${complaints.join('\n')}`)
    process.exit(1)
  }
}

await step('a link from another site opens the page', async () => {
  await page.setContent(`<a href="${address}">open</a>`)
  await page.getByRole('link').click()
  await state('Not connected')
  assert.match(page.url(), /\/visit\/[A-Z2-7]+\/$/)
})
await step('no script can read the cookie', async () => assert.equal(await page.evaluate(() => document.cookie), ''))
await step('the form offers the contexts, and the namespaces of the chosen one', async () => {
  assert.deepEqual(await page.getByLabel('Cluster (kubeconfig context)').locator('option').allInnerTexts(), ['broken', 'dev (current)', 'slow', 'weak'])
  assert.equal(await page.getByLabel('Cluster (kubeconfig context)').inputValue(), 'dev')
  await page.locator('datalist option[value=shop]').waitFor({ state: 'attached' })
  await look('disconnected')
})
await step('an attempt that fails says why and what to do', async () => {
  await choose('broken')
  await page.getByRole('button', { name: 'Connect' }).click()
  await state('The last attempt failed')
  await shown('Run: fairlead gateway install')
  await look('failed')
})
await step('an attempt can be cancelled', async () => {
  await choose('slow')
  await page.getByRole('button', { name: 'Connect' }).click()
  await state('Connecting to slow')
  await look('connecting')
  await page.getByRole('button', { name: 'Cancel' }).click()
  await state('Not connected')
})
await step('connect and disconnect with the keyboard alone', async () => {
  await choose('dev')
  await page.getByLabel('Namespace').focus()
  await page.keyboard.type('shop')
  await page.keyboard.press('Enter')
  await state('Connected to dev')
  await page.waitForFunction(() => document.activeElement?.id === 'state')
  for (const text of ['UDP, straight to 192.0.2.7:51820', 'It answers', '10.96.0.0/16', 'Names of the cluster resolve', 'namespace shop']) await shown(text)
  await look('connected')
  await page.setViewportSize({ width: 360, height: 700 })
  await look('connected-narrow')
  await page.setViewportSize({ width: 900, height: 1000 })
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await state('Not connected')
})
await step('another face of Fairlead is seen here at once', async () => {
  const other = await context.newPage()
  await other.goto(page.url())
  await other.getByLabel('Cluster (kubeconfig context)').selectOption('weak')
  await other.getByRole('button', { name: 'Connect' }).click()
  await state('Nothing gets through to weak at the moment')
  await shown('Names of the cluster do not resolve')
  await page.bringToFront()
  await look('reconnecting')
  await other.getByRole('button', { name: 'Disconnect' }).click()
  await state('Not connected')
  await other.close()
})
await step('the address opens nothing for a second browser', async () => {
  const stranger = await browser.newContext()
  const theirs = await stranger.newPage()
  for (const url of [address, page.url()]) {
    assert.equal((await theirs.goto(url)).status(), 403)
  }
  await stranger.close()
})
await step('the page asked nobody else, and had nothing to complain about', async () => {
  assert.deepEqual(elsewhere, [])
  const unexpected = complaints.filter((text) => !text.includes('502') && !text.includes('499')) // the failed attempts
  assert.deepEqual(unexpected, [])
})
await step('when the daemon has gone, the page does not go on to say what it no longer knows', async () => {
  await choose('dev')
  await page.getByRole('button', { name: 'Connect' }).click()
  await state('Connected to dev')
  console.log('end the daemon')
  await state('Fairlead does not answer')
  assert.equal(await page.getByText('Connected to dev').count(), 0)
  await look('lost')
})
await browser.close()
console.log('done')
