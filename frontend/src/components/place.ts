// SPDX-License-Identifier: Apache-2.0
import type { Attachment } from 'svelte/attachments'

const gap = 4 // pixels between the anchor and what floats
const margin = 8 // pixels to the edge of the window

/**
 * Keeps an element at its anchor, below it or above where there is more room, inside the window. It sets properties of
 * the element's style from here, since the Content-Security-Policy allows no style in markup.
 */
export function place(anchor: () => HTMLElement | undefined, options: { end?: boolean; stretch?: boolean } = {}): Attachment<HTMLElement> {
  return (element) => {
    const update = () => {
      const at = anchor()?.getBoundingClientRect()
      if (!at) return
      if (options.stretch) element.style.minWidth = `${at.width}px`
      const below = innerHeight - at.bottom - gap - margin
      const above = at.top - gap - margin
      const up = element.scrollHeight > below && above > below
      element.style.position = 'fixed'
      element.style.maxHeight = `${Math.max(96, Math.min(320, up ? above : below))}px`
      const { width, height } = element.getBoundingClientRect()
      const left = options.end ? at.right - width : at.left
      element.style.left = `${Math.max(margin, Math.min(left, innerWidth - width - margin))}px`
      element.style.top = `${up ? at.top - gap - height : at.bottom + gap}px`
    }
    update()
    const observer = new ResizeObserver(update)
    observer.observe(element)
    addEventListener('scroll', update, { capture: true, passive: true })
    addEventListener('resize', update)
    return () => {
      observer.disconnect()
      removeEventListener('scroll', update, { capture: true })
      removeEventListener('resize', update)
    }
  }
}
