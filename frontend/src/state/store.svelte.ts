// SPDX-License-Identifier: Apache-2.0
// What the daemon says, as it is now. There is one store; screens read it, and nothing else keeps a copy.
import * as api from '../api/client'
import type { Intercept, Problem, Snapshot, Status, Trouble, Work } from '../api/types'
import { Rates } from './rates'

/** How long a page that nobody sees goes on listening, in milliseconds. A browser has six connections for all its tabs. */
const listenUnseen = 20_000
/** How often rates are taken, in milliseconds. */
const rateEvery = 1000

export class Store {
  /** The last snapshot; undefined before the first. */
  snapshot = $state.raw<Snapshot>()
  /** Why the daemon can't be heard. What the snapshot says may no longer be true then. */
  lost = $state.raw<Problem>()
  /** Counts the daemons that this page has seen: a new one begins anew. */
  life = $state(0)
  /** Bytes in a second, received and sent, for the last minute. */
  rates = $state.raw<{ received: readonly number[]; sent: readonly number[] }>({ received: [], sent: [] })
  /** The time now, for what says how long ago something was. */
  now = $state(Date.now())

  readonly session: Status | undefined = $derived(this.snapshot?.session)
  readonly connected = $derived(!this.lost && this.session?.state === 'connected')
  readonly problems: readonly Trouble[] = $derived(this.snapshot?.problems ?? [])
  readonly work: readonly Work[] = $derived(this.snapshot?.work ?? [])
  /** The intercepts of this laptop. */
  readonly mine: readonly Intercept[] = $derived(this.session?.intercepts ?? [])
  /** Those of them that have not ended; one that somebody else ended is shown for a while. */
  readonly living: readonly Intercept[] = $derived(this.mine.filter((i) => i.phase !== 'Ended'))
  /** Everyone's, this laptop's among them. */
  readonly everyone: readonly Intercept[] = $derived(this.snapshot?.everyone ?? [])

  #rates = new Rates()

  /** Follows the daemon until the function that is returned is called. */
  follow(): () => void {
    let end = api.watch((s) => this.take(s), (why) => (this.lost = why))
    let listening = true
    let timer: ReturnType<typeof setTimeout> | undefined
    const seen = () => {
      clearTimeout(timer)
      if (document.hidden) {
        timer = setTimeout(() => {
          end()
          listening = false
        }, listenUnseen)
      } else if (!listening) {
        listening = true
        end = api.watch((s) => this.take(s), (why) => (this.lost = why))
      }
    }
    document.addEventListener('visibilitychange', seen)
    const clock = setInterval(() => this.#tick(), rateEvery)
    return () => {
      clearTimeout(timer)
      clearInterval(clock)
      document.removeEventListener('visibilitychange', seen)
      end()
    }
  }

  /** Takes a snapshot, unless a newer one of the same daemon is there. */
  take(snapshot: Snapshot): void {
    const known = this.snapshot
    const same = known?.daemon.started === snapshot.daemon.started
    if (same && snapshot.revision < known.revision) return
    // Another version brings its own page; this one comes back before it, so that it need not be opened anew.
    if (known && known.daemon.version !== snapshot.daemon.version) location.reload()
    if (!same) {
      this.life++
      this.#rates = new Rates()
    }
    this.snapshot = snapshot
    this.lost = undefined
  }

  #tick(): void {
    this.now = Date.now()
    if (this.lost || !this.session) return
    this.#rates.add(this.session.since ?? '', this.session.received, this.session.sent)
    this.rates = this.#rates.values()
  }
}

export const store = new Store()
