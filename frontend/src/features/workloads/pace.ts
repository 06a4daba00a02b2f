// SPDX-License-Identifier: Apache-2.0

/** Runs something at most once in a while, one run at a time: at once at first, and again later if it was wanted meanwhile. */
export class Pace {
  #running = false
  #again = false
  #next = 0 // when it may run again; milliseconds as of performance.now()
  #timer: ReturnType<typeof setTimeout> | undefined
  #ended = false

  /** interval in milliseconds, from the beginning of a run to that of the next. */
  constructor(
    private readonly run: () => Promise<void>,
    private readonly interval: number,
  ) {}

  want(): void {
    if (this.#ended) return
    if (this.#running || this.#timer !== undefined) {
      this.#again = true
      return
    }
    this.#timer = setTimeout(() => void this.#go(), Math.max(0, this.#next - performance.now()))
  }

  async #go(): Promise<void> {
    this.#timer = undefined
    this.#running = true
    this.#again = false
    this.#next = performance.now() + this.interval
    try {
      await this.run()
    } finally {
      this.#running = false
      if (this.#again) this.want()
    }
  }

  end(): void {
    this.#ended = true
    clearTimeout(this.#timer)
  }
}
