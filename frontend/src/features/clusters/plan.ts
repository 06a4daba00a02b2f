// SPDX-License-Identifier: Apache-2.0
// Groups of what an install makes, and of what is missing for it.
import type { MissingRight, PlannedObject } from '../../api/types'

/** Objects by namespace: those of the whole cluster first. */
export function groupObjects(objects: readonly PlannedObject[]): { namespace: string; objects: PlannedObject[] }[] {
  const groups = new Map<string, PlannedObject[]>()
  for (const object of objects) {
    const namespace = object.namespace ?? ''
    groups.set(namespace, [...(groups.get(namespace) ?? []), object])
  }
  return [...groups].map(([namespace, objects]) => ({ namespace, objects })).sort((a, b) => a.namespace.localeCompare(b.namespace))
}

/** Rights that the same hint is for, together. */
export function groupMissing(missing: readonly MissingRight[]): { hint: string; rights: string[] }[] {
  const groups = new Map<string, string[]>()
  for (const { verb, resource, namespace, hint = '' } of missing) {
    groups.set(hint, [...(groups.get(hint) ?? []), `${verb} ${resource}${namespace ? ` in ${namespace}` : ''}`])
  }
  return [...groups].map(([hint, rights]) => ({ hint, rights }))
}
