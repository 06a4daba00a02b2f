// SPDX-License-Identifier: Apache-2.0
import type { IconName } from '../components/Icon.svelte'
import type { Screen } from '../state/router.svelte'

/** What people call the screens. */
export const names: { [screen in Screen]: string } = {
  clusters: 'Clusters',
  workloads: 'Workloads',
  intercepts: 'Intercepts',
  activity: 'Activity',
  doctor: 'Doctor',
  settings: 'Settings',
}

export const icons: { [screen in Screen]: IconName } = {
  clusters: 'clusters',
  workloads: 'workloads',
  intercepts: 'intercepts',
  activity: 'activity',
  doctor: 'doctor',
  settings: 'settings',
}
