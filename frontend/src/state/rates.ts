// SPDX-License-Identifier: Apache-2.0

/** How many seconds of rates are kept. */
const kept = 60

/** Makes rates of counters that are read once a second. A new connection, or a counter that went back, begins anew. */
export class Rates {
  #connection: string | undefined
  #before: { received: number; sent: number } | undefined
  #received: number[] = []
  #sent: number[] = []

  add(connection: string, received: number, sent: number): void {
    const before = this.#before
    this.#before = { received, sent }
    if (connection !== this.#connection || !before || received < before.received || sent < before.sent) {
      if (connection !== this.#connection) this.#received = this.#sent = []
      this.#connection = connection
      return
    }
    this.#received = [...this.#received, received - before.received].slice(-kept)
    this.#sent = [...this.#sent, sent - before.sent].slice(-kept)
  }

  values(): { received: readonly number[]; sent: readonly number[] } {
    return { received: this.#received, sent: this.#sent }
  }
}
