// SPDX-License-Identifier: Apache-2.0
import type { Theme } from '../api/types'

/** Lets the settings say which colours; the system does otherwise. */
export function applyTheme(theme: Theme | undefined): void {
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
  else delete document.documentElement.dataset.theme
}
