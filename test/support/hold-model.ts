import type { Held } from '../../src/hold/index.js'

/** What a store does, with plain lists: slow, and easy to see through. */
export function createHoldModel ({ maxCount, maxBytes, maxAge }: { maxCount: number, maxBytes: number, maxAge: number }, clock: { now: number }) {
  const users = new Map<string, Held[]>()
  const dropped = { overflow: 0, expired: 0 }
  const isExpired = (one: Held) => Math.min(one.expiresAt, one.position / 1_000 + maxAge) <= clock.now
  const sizeOf = (one: Held) => Buffer.byteLength(one.id + one.content)

  function listOf (user: string): Held[] {
    const all = users.get(user) ?? []
    const live = all.filter(one => !isExpired(one))
    dropped.expired += all.length - live.length
    users.set(user, live)
    return live
  }

  return {
    dropped,
    ids: (user: string) => listOf(user).map(({ id }) => id),
    remove (user: string, ids: string[]): void {
      users.set(user, (users.get(user) ?? []).filter(({ id }) => !ids.includes(id)))
    },
    add (user: string, one: Held): string[] | 'known' {
      const list = listOf(user)
      const same = list.find(({ id }) => id === one.id)
      if (same !== undefined) return same.position === one.position ? [] : 'known'
      if (isExpired(one) || sizeOf(one) > maxBytes) {
        dropped[isExpired(one) ? 'expired' : 'overflow']++
        return [one.id]
      }
      list.push(one)
      list.sort((a, b) => a.position - b.position)
      const out: string[] = []
      while (list.length > maxCount || list.reduce((sum, each) => sum + sizeOf(each), 0) > maxBytes) out.push(list.shift()!.id)
      dropped.overflow += out.length
      return out
    }
  }
}
