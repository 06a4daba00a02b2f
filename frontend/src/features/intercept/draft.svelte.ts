// SPDX-License-Identifier: Apache-2.0
// An intercept that is being thought of: what is filled in, what it would do, and making it.
import * as api from '../../api/client'
import type { Intercept, InterceptPreview, Problem, Program, WorkloadPort } from '../../api/types'
import { bestPort, candidates, emptyForm, type Form, faultsOf, listening, requestOf } from './form'
import { Latest } from './latest'

/** How long after the last key a preview is asked for, in milliseconds. */
const previewAfter = 150
/** How often the programs of this laptop are looked at, in milliseconds. */
const programsEvery = 2000

/** What was filled in and not sent, and the local port that was used last, by workload. Gone with the page. */
const unsent = new Map<string, Form>()
const lastLocal = new Map<string, string>()

export type Stage = 'asking' | 'making' | 'made'

export class Draft {
  form = $state<Form>(emptyForm('', ''))
  preview = $state.raw<InterceptPreview>()
  /** Why there is no preview; what is known of the workload stays. */
  previewProblem = $state.raw<Problem>()
  /** The preview is of a form that this has completed since; the next one is under way. */
  settling = $state(false)
  programs = $state.raw<Program[]>([])
  programsNote = $state('')
  programsKnown = $state(false)

  stage = $state<Stage>('asking')
  /** What has been done so far; the last is going on. */
  steps = $state.raw<string[]>([])
  cancelling = $state(false)
  problem = $state.raw<Problem>()
  made = $state.raw<Intercept>()

  /** A port has been suggested; from then on people choose. */
  settled = false
  /** The key that was made up, not chosen. */
  madeUp = $state('')
  #id: string
  #call = ''
  #preview: Latest<Form, InterceptPreview>

  readonly ports: readonly WorkloadPort[] = $derived((this.preview?.workload.ports ?? []).filter((p) => p.protocol !== 'SCTP'))
  readonly faults = $derived(faultsOf(this.form))

  constructor(workload: string, namespace: string) {
    this.#id = `${namespace}/${workload}`
    this.form = unsent.get(this.#id) ?? emptyForm(namespace, workload)
    this.#preview = new Latest(
      (form, signal) => api.interceptPreview(requestOf(form), { signal }),
      (preview) => this.#take(preview),
      (error) => {
        this.previewProblem = api.problemOf(error)
        this.settling = false
      },
      previewAfter,
    )
  }

  /** Programs that a port could be sent to. */
  candidates(index: number): Program[] {
    const port = this.form.ports[index]
    return port ? candidates(this.programs, port, this.form.workload, lastLocal.get(`${this.#id} ${port.remote}`)) : []
  }

  /** Whether something listens where a port is sent; undefined where that can't be known. */
  listens(index: number): boolean | undefined {
    const port = this.form.ports[index]
    if (!port || !this.programsKnown || this.form.address.trim()) return undefined
    return listening(this.programs, port.local || port.remote, port.protocol)
  }

  /** Looks at the programs of this laptop until the function that is returned is called. */
  followPrograms(): () => void {
    let ended = false
    let timer: ReturnType<typeof setTimeout>
    const look = async () => {
      try {
        const found = await api.programs()
        this.programs = found.programs ?? []
        this.programsNote = found.note ?? ''
        this.programsKnown = true
        this.#suggestLocal()
      } catch {
        this.programsKnown = false // a port can be typed all the same
      }
      if (!ended) timer = setTimeout(look, programsEvery)
    }
    void look()
    return () => {
      ended = true
      clearTimeout(timer)
    }
  }

  /** Asks what the form would do. To be called when it has changed. */
  ask(): void {
    const form = $state.snapshot(this.form)
    unsent.set(this.#id, form)
    this.#preview.ask(form, this.settling)
  }

  endAsking(): void {
    this.#preview.end()
  }

  choosePort(index: number, port: WorkloadPort): void {
    const row = this.form.ports[index]
    if (!row) return
    row.remote = String(port.port)
    row.protocol = port.protocol
    row.local = lastLocal.get(`${this.#id} ${row.remote}`) ?? ''
    this.#suggestLocal()
  }

  addPort(): void {
    const free = this.ports.find((p) => !this.form.ports.some((row) => row.remote === String(p.port) && row.protocol === p.protocol))
    this.form.ports.push({ remote: free ? String(free.port) : '', protocol: free?.protocol ?? 'TCP', local: free ? String(free.port) : '' })
  }

  #take(preview: InterceptPreview): void {
    this.preview = preview
    this.previewProblem = undefined
    const best = this.settled || this.form.ports[0]?.remote ? undefined : bestPort(preview.workload.ports ?? [])
    this.settling = best !== undefined
    this.settled = true
    if (best) this.choosePort(0, best)
    // Whoever has emptied the field, or filled in another condition, wants none.
    if (preview.key && !this.form.key && !this.madeUp && this.form.whose === 'personal' && !this.form.path && this.form.headers.length === 0) {
      this.form.key = this.madeUp = preview.key
    }
  }

  /** Fills in where the first port goes, unless somebody has: the program that is likeliest, else the same number. */
  #suggestLocal(): void {
    const row = this.form.ports[0]
    if (!row || row.local || !row.remote || !this.programsKnown) return
    const [best] = candidates(this.programs, row, this.form.workload).filter((p) => p.folder || String(p.port) === row.remote)
    row.local = best ? String(best.port) : row.remote
  }

  async make(): Promise<void> {
    if (Object.keys(this.faults).length > 0 || this.stage === 'making') return
    this.stage = 'making'
    this.problem = undefined
    this.steps = []
    this.cancelling = false
    const call = (this.#call = crypto.randomUUID())
    try {
      this.made = await api.intercept(requestOf($state.snapshot(this.form)), (step) => (this.steps = [...this.steps, step]), { call })
      for (const port of this.form.ports) lastLocal.set(`${this.#id} ${port.remote}`, port.local)
      unsent.delete(this.#id)
      this.stage = 'made'
    } catch (error) {
      const problem = api.problemOf(error)
      if (problem.code !== 'cancelled' || !this.cancelling) this.problem = problem
      this.stage = 'asking'
    }
  }

  async cancel(): Promise<void> {
    this.cancelling = true
    await api.cancel(this.#call).catch((error: unknown) => {
      this.cancelling = false
      this.problem = api.problemOf(error)
    })
  }

  /** Forgets what was filled in. */
  discard(): void {
    unsent.delete(this.#id)
  }
}
