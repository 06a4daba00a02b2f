// SPDX-License-Identifier: Apache-2.0
import { everything, type Query, type Sort } from './search'

/** What people look at in the table of workloads. It stays while other screens are shown. */
class Looking {
  query = $state<Query>({ ...everything })
  sort = $state<Sort>({ by: 'name' })
  /** The active row. */
  active = $state<string>()
}

export const looking = new Looking()
