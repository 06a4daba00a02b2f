// SPDX-License-Identifier: Apache-2.0
// How a page that is open comes back when the daemon has ended and another runs, without a new sign-in: the page makes a key
// that no script can read, names its public half to the daemon, and signs a challenge of the next one. Only this document
// has the key; a page that is loaded again signs in again.

const prefix = 'fairlead return ' // what the daemon expects before a challenge
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
/** How often the key is named, in milliseconds; the daemon forgets keys that it has not heard of for a day. */
const nameEvery = 3_600_000

let pair: Promise<CryptoKeyPair | undefined> | undefined
let named = -Infinity // milliseconds as of performance.now()
let coming: Promise<boolean> | undefined

const base64 = (bytes: ArrayBuffer) => btoa(String.fromCharCode(...new Uint8Array(bytes)))

/** The key; undefined in a browser that has no keys for pages. */
const keys = () => (pair ??= globalThis.crypto?.subtle ? crypto.subtle.generateKey(algorithm, false, ['sign', 'verify']).catch(() => undefined) : Promise.resolve(undefined))

const say = (path: string, words: unknown) =>
  fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(words) }).catch(() => undefined)

/** Names the key to the daemon, unless that was done lately. It is called whenever the daemon is heard. */
export async function keepWayBack(): Promise<void> {
  if (performance.now() - named < nameEvery) return
  named = performance.now()
  const own = await keys()
  if (!own) return
  const answer = await say('return', { key: base64(await crypto.subtle.exportKey('raw', own.publicKey)) })
  if (!answer?.ok) named = -Infinity
}

/** Tries to come back, and says whether that went well. The address of the page is another one then. */
export function comeBack(): Promise<boolean> {
  return (coming ??= tryToComeBack()
    .catch(() => false)
    .finally(() => (coming = undefined)))
}

async function tryToComeBack(): Promise<boolean> {
  const own = await keys()
  if (!own) return false
  const asked = await say('/return/challenge', {})
  if (!asked?.ok) return false
  const { challenge } = (await asked.json()) as { challenge: string }
  const signature = await crypto.subtle.sign(algorithm, own.privateKey, new TextEncoder().encode(prefix + challenge))
  const answer = await say('/return', { key: base64(await crypto.subtle.exportKey('raw', own.publicKey)), challenge, signature: base64(signature) })
  if (!answer?.ok) return false
  const { page } = (await answer.json()) as { page: string }
  history.replaceState(history.state, '', page + location.hash)
  named = -Infinity
  return true
}
