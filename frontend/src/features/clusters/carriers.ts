// SPDX-License-Identifier: Apache-2.0
import type { CarrierMode } from '../../api/types'

/** The ways to a cluster that can be asked for. */
export const carriers: readonly { value: CarrierMode; label: string }[] = [
  { value: 'auto', label: 'The best that works' },
  { value: 'udp', label: 'UDP only: straight to the gateway' },
  { value: 'relay', label: 'Relay only: through the API server' },
]
