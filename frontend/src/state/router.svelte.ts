// SPDX-License-Identifier: Apache-2.0
// Which screen is shown: the part of the address behind '#', such as #/intercepts or #/intercept?workload=api.

export const screens = ['clusters', 'workloads', 'intercepts', 'activity', 'doctor', 'settings'] as const
export type Screen = (typeof screens)[number]

export interface Route {
  screen: Screen | 'intercept'
  /** What is behind the screen's name, such as the ID of an intercept. */
  rest: string
  params: URLSearchParams
}

/** The route of an address; the first screen for one that is not known. */
export function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#?\/?/, '').split('?', 2)
  const [name = '', ...rest] = path.split('/')
  const screen = [...screens, 'intercept' as const].find((known) => known === name) ?? 'clusters'
  return { screen, rest: decode(rest.join('/')), params: new URLSearchParams(query) }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** The address of a screen. */
export function address(screen: Route['screen'], rest = '', params: { [name: string]: string } = {}): string {
  const query = new URLSearchParams(params).toString()
  return `#/${screen}${rest ? `/${encodeURIComponent(rest)}` : ''}${query ? `?${query}` : ''}`
}

class Router {
  route = $state.raw<Route>(parse(location.hash))

  follow(): () => void {
    const changed = () => (this.route = parse(location.hash))
    addEventListener('hashchange', changed)
    return () => removeEventListener('hashchange', changed)
  }

  go(screen: Route['screen'], rest?: string, params?: { [name: string]: string }): void {
    location.hash = address(screen, rest, params)
    this.route = parse(location.hash) // at once, and not when the event comes
  }

  /** Goes there without an entry in the history. */
  replace(screen: Route['screen'], rest?: string, params?: { [name: string]: string }): void {
    history.replaceState(null, '', address(screen, rest, params))
    this.route = parse(location.hash)
  }
}

export const router = new Router()
