// SPDX-License-Identifier: Apache-2.0
// Takes the pictures of the README: a connection, the workloads, the dialog of an intercept, and its requests as they come, light
// and dark. What they show is so: a gateway, workloads, a program of this laptop and requests that reach it.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { finish, open, screenshots, step, until } from './kit.mjs'
import { curl, local, on, run } from './laptop.mjs'

const page = await open({ width: 1280, height: 800 }, { deviceScaleFactor: 2 })
const { dialog, go, heading, shown } = on(page)

/** A picture, light and dark, with nothing that has the focus or is pointed at. */
async function picture(name) {
  await page.mouse.move(110, 520)
  await page.evaluate(() => document.activeElement?.blur())
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.screenshot({ path: `${screenshots}/${name}-${colorScheme}.png` })
  }
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' })
}

// People have several contexts, with short names.
const mine = JSON.parse(run('kubectl', 'config', 'view', '--raw', '--flatten', '--output', 'json'))
const { cluster, user } = mine.contexts.find((c) => c.name === mine['current-context']).context
mine.contexts = [['dev', 'shop'], ['production', 'shop'], ['staging', 'shop']].map(([name, namespace]) => ({ name, context: { cluster, user, namespace } }))
mine['current-context'] = 'dev'
const folder = `${process.env.HOME}/src/shop/catalog`
mkdirSync(folder, { recursive: true })
const kubeconfig = `${process.env.HOME}/src/kubeconfig.json`
writeFileSync(kubeconfig, JSON.stringify(mine), { mode: 0o600 })

// The catalog as somebody works on it, with a defect.
const program = `
require('node:http').createServer((request, response) => {
  const unknown = request.url.includes('/anchors/9'), broken = request.url.startsWith('/reviews')
  setTimeout(() => {
    response.writeHead(unknown ? 404 : broken ? 500 : request.method === 'POST' ? 201 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ pod: 'this-laptop', items: ['anchor', 'fairlead', 'shackle', 'winch'] }))
  }, request.url.length * 0.7)
}).listen(3000, '127.0.0.1')`
const node = local(process.execPath, ['-e', program], { cwd: folder })

await step(page, 'a connection', async () => {
  const { url } = JSON.parse(run('env', `KUBECONFIG=${kubeconfig}`, 'fairlead', 'open', '--print', '--output', 'json'))
  await page.goto(url)
  await page.getByRole('listitem').filter({ hasText: 'dev' }).getByRole('button', { name: 'Connect' }).first().click()
  await heading('Connected to dev', 2)
  await until('the way that is best', async () => (await page.getByText('Straight to the gateway.').count()) > 0)
  // A minute of use, in a third of the time: that is what the sparklines show.
  for (const size of [4, 9, 30, 12, 60, 90, 40, 18, 120, 75, 30, 8, 55, 140, 95, 60, 20, 12, 44, 30, 16, 26]) {
    curl('-o', '/dev/null', `http://front.shop/bytes?n=${size * 1000}`)
    curl('-o', '/dev/null', '-X', 'POST', '--data-binary', 'x'.repeat(size * 300), 'http://front.shop/sink')
    await page.waitForTimeout(900)
  }
  await picture('clusters')
})
await step(page, 'the dialog of an intercept', async () => {
  await go('intercept?workload=deployment/catalog&namespace=shop')
  await dialog.getByRole('radio', { name: /^8080 ?http/ }).check()
  await dialog.getByRole('radio', { name: /^3000 ?node/ }).check()
  await dialog.getByLabel('Requests with this header').fill('ana')
  await dialog.getByText("'x-fairlead: ana'").waitFor()
  await picture('intercept')
  await dialog.getByRole('button', { name: 'Intercept', exact: true }).click()
  await shown('catalog is intercepted')
})
await step(page, 'its requests', async () => {
  await dialog.getByRole('button', { name: 'See its requests' }).click()
  await heading('catalog', 1)
  await page.mouse.move(110, 520) // rows stay where they are under a pointer
  const header = ['-H', 'x-fairlead: ana']
  const paths = ['/', '/anchors', '/anchors/12', '/reviews?of=12', '/price/anchor', '/anchors/9', '/shackles?size=8&sort=price', '/winches', '/', '/search?q=rope', '/price/winch', '/fairleads/4']
  for (let i = 0; i < 26; i++) {
    if (i % 7 === 4) curl(...header, '-X', 'POST', '-d', '{"item":"anchor"}', 'http://catalog/cart')
    else if (i % 9 === 5) curl(...header, 'http://front/')
    else curl(...header, `http://catalog${paths[i % paths.length]}`)
    curl('http://catalog/')
    await page.waitForTimeout(230)
  }
  assert.match(curl(...header, 'http://catalog/winches'), /this-laptop/)
  await page.getByText('/winches').first().waitFor()
  await until('the counters', async () => !(await page.locator('main').innerText()).includes('\n0\nmatched'))
  await picture('requests')
})
await step(page, 'the workloads', async () => {
  await go('workloads')
  await shown('You')
  await picture('workloads')
})
node.end()
await finish()
