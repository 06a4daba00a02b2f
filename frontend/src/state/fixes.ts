// SPDX-License-Identifier: Apache-2.0
// What the button of a problem does: the only place where the actions of fixes are known.
import * as api from '../api/client'
import type { Fix } from '../api/types'
import { actions } from './actions.svelte'
import { copyText } from './clipboard'
import { router } from './router.svelte'
import { store } from './store.svelte'
import { announce } from './toasts.svelte'

const known: { [action: string]: (fix: Fix) => Promise<void> | void } = {
  connect: async (fix) => {
    router.go('clusters')
    await actions.connect({ context: fix.context })
  },
  disconnect: () => actions.disconnect(),
  'install-gateway': (fix) => router.go('clusters', '', { install: fix.context ?? '' }),
  'upgrade-gateway': (fix) => router.go('clusters', '', { upgrade: fix.context ?? '' }),
  'map-conflicts': async (fix) => {
    router.go('clusters')
    await actions.connect({ context: fix.context ?? store.session?.context, namespace: store.session?.namespace, mapConflicts: true })
  },
  leave: leave,
  'open-intercept': (fix) => router.go('intercepts', fix.intercept),
  doctor: () => router.go('doctor'),
  settings: () => router.go('settings'),
  copy: async (fix) => {
    const copied = await copyText(fix.command ?? '')
    announce(copied ? 'Copied. Paste it into a terminal.' : `The browser refused to copy. Run: ${fix.command}`, copied ? 'good' : 'bad')
  },
}

async function leave(fix: Fix): Promise<void> {
  const intercept = store.mine.find((one) => one.id === fix.intercept)
  if (!intercept) {
    announce('That intercept is gone already.', 'idle')
    return
  }
  try {
    await api.leave({ context: fix.context, namespace: intercept.namespace, names: [intercept.name] })
    announce(`Left ${intercept.name}: its traffic goes to the cluster again.`, 'good')
  } catch (error) {
    announce(api.problemOf(error).message, 'bad')
  }
}

/** False for an action of a newer daemon, which this page can't do. */
export const isKnown = (fix: Fix) => fix.action in known

/** Does what the button of a problem says. */
export async function perform(fix: Fix): Promise<void> {
  await known[fix.action]?.(fix)
}
