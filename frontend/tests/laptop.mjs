// SPDX-License-Identifier: Apache-2.0
// What scripts have in common that run on a laptop of a real cluster, where curl goes through the tunnel. Behind the arguments
// of kit.mjs they get the name of the context.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'

export const context = process.argv[5]

/** Runs a program of the laptop, and returns what it prints. */
export const run = (program, ...args) => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
export const curl = (...args) => run('curl', '-sS', '-m', '10', ...args)

/** Has 'fairlead open' start a browser, and returns the address that it was given. */
export async function openedAddress() {
  const folder = mkdtempSync(`${tmpdir()}/browser-`)
  writeFileSync(`${folder}/xdg-open`, `#!/bin/sh\nprintf %s "$1" >${folder}/part && mv ${folder}/part ${folder}/address\n`, { mode: 0o755 })
  run('env', 'DISPLAY=:0', `PATH=${folder}:${process.env.PATH}`, 'fairlead', 'open')
  while (!existsSync(`${folder}/address`)) await new Promise((go) => setTimeout(go, 20))
  const address = readFileSync(`${folder}/address`, 'utf8')
  rmSync(folder, { recursive: true })
  return address
}

/** Runs a program here until this script ends, also where it fails. end ends it before. */
export function local(command, args, options = {}) {
  const program = spawn(command, args, { stdio: 'ignore', ...options })
  process.on('exit', () => program.kill())
  return { end: () => program.kill() }
}

/** Runs the shop's catalog here, on port 8080, as somebody who works on it would. */
export const localCatalog = () => local('shop', ['catalog'], { env: { ...process.env, POD_NAME: 'this-laptop' } })

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
process.stdin.unref()

/** Has the test do something that only it can, such as unplugging this laptop, and returns when it is done. */
export async function ask(what) {
  process.stdin.ref()
  console.log(`do: ${what}`)
  await answers.next()
  process.stdin.unref()
}

/** What is on a page, as people know it. */
export const on = (page) => ({
  heading: (name, level) => page.getByRole('heading', { name, level }).first().waitFor(),
  shown: (text) => page.getByText(text).first().waitFor(),
  gone: (text) => page.getByText(text).first().waitFor({ state: 'detached' }),
  button: (name) => page.getByRole('button', { name, exact: true }),
  dialog: page.getByRole('dialog'),
  row: page.getByRole('listitem').filter({ has: page.getByText(context, { exact: true }) }),
  go: (route) => page.evaluate((route) => (location.hash = `#/${route}`), route),
})
