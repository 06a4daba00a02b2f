// SPDX-License-Identifier: Apache-2.0
// Ranges of addresses as people write them: separated by commas or spaces.

export const ranges = (text: string) => text.split(/[\s,;]+/).filter(Boolean)

/** Says what is wrong with the first one that is not a range or an address; undefined if all are. */
export function wrongRange(text: string): string | undefined {
  const wrong = ranges(text).find((one) => !isRange(one))
  return wrong === undefined ? undefined : `${wrong} is not a range of addresses. Write it as 10.0.0.0/8, or a single address.`
}

function isRange(text: string): boolean {
  const [, address = '', bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const most = isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1
  return most > 0 && (bits === undefined || Number(bits) <= most)
}

function isIPv4(text: string): boolean {
  const parts = text.split('.')
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)
}

function isIPv6(text: string): boolean {
  if (!text.includes(':')) return false
  try {
    return new URL(`http://[${text}]/`).hostname.startsWith('[')
  } catch {
    return false
  }
}
