import type { Held } from '../../src/hold/index.js'

/** What a store does, with plain lists: slow, and easy to see through. */
export function createHoldModel ({ maxCount, maxBytes, maxAge }: { maxCount: number, maxBytes: number, maxAge: number }, clock: { now: number }) {
  const users = new Map<string, Held[]>()
  const dropped = { overflow: 0, expired: 0, broken: 0 }
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

/** Bytes that a store counts for each notification and for each user who has some. */
export interface Overhead {
  readonly entry: number
  readonly user: number
}

/** What a store may drop when all users together have too much, with plain lists. */
export function createTotalModel (totalBytes: number, overhead: Overhead) {
  const users = new Map<string, Held[]>()
  const sizeOf = (list: readonly Held[]) => list.length === 0 ? 0 : list.reduce((sum, { id, content }) => sum + overhead.entry + id.length + content.length, overhead.user)
  const sizes = () => [...users.values()].map(sizeOf)
  const total = () => sizes().reduce((sum, size) => sum + size, 0)

  return {
    dropCount: 0,
    ids: (user: string) => (users.get(user) ?? []).map(({ id }) => id),
    remove (user: string, ids: string[]): void {
      users.set(user, (users.get(user) ?? []).filter(({ id }) => !ids.includes(id)))
    },
    /** Returns what was wrong about what the store has dropped for this one. */
    add (user: string, one: Held, drops: ReadonlyArray<readonly [userId: string, id: string]>): string[] {
      const faults: string[] = []
      const list = users.get(user) ?? []
      if (!list.some(({ id }) => id === one.id)) users.set(user, [...list, one].sort((a, b) => a.position - b.position))
      for (const [whose, id] of drops) {
        const [oldest, ...others] = users.get(whose) ?? []
        if (total() <= totalBytes) faults.push(`${id} was dropped though there was room`)
        if (oldest?.id !== id) faults.push(`${id} is not the oldest of ${whose}`)
        if (sizeOf(users.get(whose) ?? []) < Math.max(...sizes()) / 2) faults.push(`${whose} has much less than another`)
        users.set(whose, others)
        this.dropCount++
      }
      if (total() > totalBytes) faults.push(`${total()} bytes are held`)
      return faults
    }
  }
}
