import { closeCodes } from '../../close-codes.js'

/** Codes of RFC 6455 §7.4.1 and the IANA registry. 1005, 1006 and 1015 are never sent: no code arrived. */
const KNOWN = new Set<number>([
  1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015, ...Object.values(closeCodes)
])

/** Counts the ends of connections by code. Codes that a client or the application has defined count together. */
export function createCloses () {
  const counts = new Map<string, number>([...[...KNOWN].sort(), 'other', 'released'].map(code => [String(code), 0]))

  return {
    add (code: number | 'released'): void {
      const label = code === 'released' || KNOWN.has(code) ? String(code) : 'other'
      counts.set(label, counts.get(label)! + 1)
    },
    counts: counts as ReadonlyMap<string, number>
  }
}
