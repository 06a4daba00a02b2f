// SPDX-License-Identifier: Apache-2.0
// What the scripts that use the page in a real browser have in common. They run with
//
//   node SCRIPT.mjs BROWSER ADDRESS FOLDER-FOR-SCREENSHOTS
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'

export const [executablePath, address, screenshots] = process.argv.slice(2)
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

export const wide = { width: 1280, height: 800 }
export const huge = { width: 3840, height: 2160 }
export const narrow = { width: 380, height: 780 }

export const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})

/** What the browser complained about: errors and warnings of the console, and defects of the page. */
export const complaints = []
/** Requests that went anywhere but to the daemon. */
export const elsewhere = []

/** Opens a browser of its own, with one page. */
export async function open(viewport = wide, options = {}) {
  const context = await browser.newContext({ viewport, reducedMotion: 'reduce', acceptDownloads: true, ...options })
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: new URL(address).origin })
  const page = await context.newPage()
  page.setDefaultTimeout(60_000) // on a busy machine; nothing waits that long unless it fails
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('request', (request) => [new URL(address).origin, 'blob:'].some((own) => request.url().startsWith(own)) || elsewhere.push(request.url()))
  return page
}

/** Lets the fake daemon show a scene; keep says that it adds to the one before. */
export async function scene(name, keep = false) {
  const response = await fetch(new URL(`fake/scene?name=${name}${keep ? '&keep' : ''}`, address), { method: 'POST' })
  assert.equal(response.status, 200, await response.text())
}

/** What axe finds: all of it, or only what colours can change. */
async function faults(page, only) {
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(axe)
  const { violations } = await page.evaluate(
    (only) => globalThis.axe.run(document, { runOnly: only ?? ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], resultTypes: ['violations'] }),
    only,
  )
  return violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target}: ${n.failureSummary}`).join('; ')}`)
}

/**
 * Looks at the page in both colour schemes and at some sizes: no fault by WCAG A and AA nor by axe's best practices,
 * nothing wider than the window, and a picture of each.
 */
export async function look(page, name, sizes = [wide, narrow]) {
  const before = page.viewportSize()
  for (const size of sizes) {
    await page.setViewportSize(size)
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      assert.deepEqual(await faults(page, colorScheme === 'dark' ? ['color-contrast'] : undefined), [], `accessibility of "${name}", ${colorScheme}, ${size.width}`)
      const sideways = await page.evaluate(() =>
        [document.documentElement, document.querySelector('main'), ...document.querySelectorAll('dialog[open] .body')]
          .filter((element) => element && element.scrollWidth > element.clientWidth + 1)
          .map((element) => element.tagName),
      )
      assert.deepEqual(sideways, [], `"${name}" is wider than ${size.width}`)
      await page.screenshot({ path: `${screenshots}/${name}-${size.width}-${colorScheme}.png` })
    }
  }
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' })
  await page.setViewportSize(before)
}

/** Waits until a condition holds, as long as a busy machine or a cluster may take for it; what it throws counts as not yet. */
export async function until(what, condition) {
  let last
  for (const began = Date.now(); Date.now() - began < 90_000; await new Promise((go) => setTimeout(go, 50))) {
    try {
      if (await condition()) return
    } catch (error) {
      last = error
    }
  }
  assert.fail(`never: ${what}; ${last ?? ''}`)
}

/** Runs a part of a script. A failure ends it, with what the page showed. */
export async function step(page, name, run) {
  const began = Date.now()
  try {
    await run()
    console.log(`ok: ${name} (${Date.now() - began} ms)`)
  } catch (error) {
    await page.screenshot({ path: `${screenshots}/failed.png` }).catch(() => undefined)
    console.log(`FAILED: ${name}\n${error.stack}\npage: ${page.url()}\n${await page.innerText('body').catch(() => '')}\n${complaints.join('\n')}`)
    process.exit(1)
  }
}

/** The element that has the focus, as people know it. */
export const focused = (page) =>
  page.evaluate(() => {
    const element = document.activeElement
    return element?.getAttribute('aria-label') ?? element?.textContent?.trim() ?? ''
  })

/** Returns what has the focus if that is not to be seen: nothing is drawn around it. Empty if all is well. */
export const focusShown = (page) =>
  page.evaluate(() => {
    const active = document.activeElement
    if (!active || active === document.body) return ''
    const outlined = (element) => {
      const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(element)
      const after = getComputedStyle(element, '::after') // where rows would cover an outline
      const framed = after.content !== 'none' && after.borderTopStyle === 'solid' && parseFloat(after.borderTopWidth) >= 2
      return framed || (outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1 && outlineColor !== 'rgba(0, 0, 0, 0)')
    }
    for (let element = active, up = 0; element && up < 3; element = element.parentElement, up++) if (outlined(element)) return ''
    return active.outerHTML.slice(0, 200)
  })

/** Ends a script: nobody else was asked, and the browser had nothing to complain about but what is expected. */
export async function finish(expected = []) {
  assert.deepEqual(elsewhere, [])
  assert.deepEqual(complaints.filter((text) => !expected.some((known) => text.includes(known))), [])
  await browser.close()
  console.log('done')
}
