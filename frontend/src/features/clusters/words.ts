// SPDX-License-Identifier: Apache-2.0
// What is said of a cluster, and what can be done with it.
import type { ContextState } from '../../api/types'
import { millis, type Tone } from '../../state/words'

export interface Said {
  tone: Tone
  text: string
}

const reasons: { [code: string]: string } = {
  cluster_unreachable: 'Does not answer',
  daemon_unreachable: 'Not known',
  forbidden: 'May not be used by you',
  kubeconfig: 'The kubeconfig has a fault',
  timeout: 'Does not answer in time',
  unauthorized: 'Refuses the credentials',
}

/** Whether a cluster can be reached. */
export function reach(state: ContextState | undefined): Said {
  if (!state) return { tone: 'idle', text: 'Not asked yet' }
  if (state.reachable) return { tone: 'good', text: state.ms ? `Answers in ${millis(state.ms)}` : 'Answers' }
  return { tone: 'bad', text: reasons[state.problem?.code ?? ''] ?? 'Cannot be used' }
}

/** How the gateway in it is; undefined where that is not known. */
export function gateway(state: ContextState | undefined): Said | undefined {
  switch (state?.gateway) {
    case 'ready':
      return { tone: 'good', text: state.gatewayBy ? `Gateway ${state.gatewayBy}` : 'Gateway ready' }
    case 'missing':
      return { tone: 'idle', text: 'No gateway' }
    case 'not-ready':
      return { tone: 'busy', text: 'Gateway not ready' }
    case 'other-version':
      return { tone: 'busy', text: state.gatewayBy ? `Gateway ${state.gatewayBy}` : 'Gateway of another version' }
    default:
      return undefined
  }
}

export type Main = 'connect' | 'install' | 'upgrade'

/** What the buttons of a row do; the first is the one for Enter. */
export function offers(state: ContextState | undefined): Main[] {
  if (state?.gateway === 'missing') return ['install']
  if (state?.gateway === 'other-version') return ['connect', 'upgrade']
  return ['connect']
}
