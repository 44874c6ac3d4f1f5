import { test, type Test } from 'tap'
import type { Held, HoldHooks, HoldOptions, ManagedHoldStore } from '../../src/hold/index.js'
import { eventually } from './eventually.js'
import { createHoldModel, createTotalModel, type Overhead } from './hold-model.js'
import { createRandom } from './random.js'

/** The tests' clock begins here, in milliseconds since 1970. */
export const START = 1_700_000_000_000

const defaults = { maxCount: 1_000, maxAge: 3_600_000, maxBytes: 1_048_576, totalBytes: 268_435_456, keyPrefix: 'notification:' }

/** A store with a clock that stands still, and what it said it dropped. */
export interface HoldUnderTest {
  readonly store: ManagedHoldStore
  readonly clock: { now: number }
  readonly dropped: { overflow: number, expired: number, broken: number }
  /** What was dropped as there was no room: each user and id, in order. */
  readonly overflowed: Array<readonly [userId: string, id: string]>
}

/** Opens a store with defaults that no test reaches by accident. */
export type Open = (t: Test, options?: Partial<HoldOptions>) => Promise<HoldUnderTest>

/** Opens stores with whatever the options ask for, closed after the test. */
export function opener (create: (options: HoldOptions, hooks: HoldHooks) => Promise<ManagedHoldStore>): Open {
  return async (t, options = {}) => {
    const clock = { now: START }
    const dropped = { overflow: 0, expired: 0, broken: 0 }
    const overflowed: Array<readonly [string, string]> = []
    const store = await create({ ...defaults, ...options }, {
      dropped (reason, count, userId, ids = []) {
        dropped[reason] += count
        if (reason === 'overflow') overflowed.push(...ids.map(id => [userId, id] as const))
      },
      now: () => clock.now
    })
    t.teardown(() => store.close())
    await eventually(() => !store.failing, 'connected') // it begins without Redis after 2 s
    return { store, clock, dropped, overflowed }
  }
}

/** One that waits, routed so many microseconds after the clock's beginning. */
export function held (id: string, position = 0, rest: Partial<Held> = {}): Held {
  return { id, content: JSON.stringify(`content of ${id}`), position: START * 1_000 + position, expiresAt: Infinity, ...rest }
}

/** The ids of what a user has waiting, oldest first. */
export async function idsOf (store: ManagedHoldStore, userId: string): Promise<string[]> {
  return (await store.read(userId, undefined, 100_000)).map(({ id }) => id)
}

/**
 * What every store does.
 * @param overhead what the store counts for `totalBytes` besides the text
 */
export function testHoldContract (open: Open, overhead: Overhead): void {
  test('what is kept is read back as it was, until it is removed', async t => {
    const { store, dropped } = await open(t)
    const some = [
      held('a b', 1),
      held('{}', 2, { content: '{"text":"two  spaces\\n ☃ 😀 \\u0000"}', expiresAt: START + 60_000 }),
      held('ü', 3, { content: '""', expiresAt: START + 60_000.5 })
    ]
    for (const one of some) t.same(await store.add('user', one), [])
    t.same(await store.read('user', undefined, 10), some)
    t.same(await store.read('user', undefined, 10), some, 'reading removes nothing')
    t.same(await store.remove('user', ['{}', 'not there']), ['{}'])
    t.same(await store.read('user', undefined, 10), [some[0], some[2]])
    t.same(await store.remove('user', ['a b', 'ü', 'ü']), ['a b', 'ü'])
    t.same(await store.read('user', undefined, 10), [])
    t.same(await store.remove('user', ['a b']), [])
    t.same(await store.remove('user', []), [])
    t.same(await store.add('user', some[1]!), [])
    t.same(await store.read('user', undefined, 10), [some[1]])
    t.same(dropped, { overflow: 0, expired: 0, broken: 0 }, 'what is removed is not dropped')
    t.match(store, { failing: false, lastError: undefined })
  })

  test('the users of a hold have nothing to do with each other, whatever they are called', async t => {
    const { store } = await open(t)
    const users = ['1', '{', '}', '{}', '}{', 'a}b', 'a}c', ':', 'a:order', 'ü', 'constructor', ' ']
    for (const user of users) await store.add(user, held(`of ${user}`))
    for (const user of users) t.same(await idsOf(store, user), [`of ${user}`])
    await store.remove('}', ['of }', 'of {'])
    t.same(await idsOf(store, '}'), [])
    t.same(await idsOf(store, '{'), ['of {'])
  })

  test('the hold reads the oldest first: by position, then in the order of adding', async t => {
    const { store } = await open(t)
    for (const [id, position] of [['d', 5], ['b', 3], ['z', 4], ['a', 4], ['m', 4], ['e', 10], ['first', -7]] as const) {
      await store.add('user', held(id, position))
    }
    t.same(await idsOf(store, 'user'), ['first', 'b', 'z', 'a', 'm', 'd', 'e'])
  })

  test('what the hold has already under an id stays as it is', async t => {
    const { store, dropped } = await open(t, { maxCount: 2 })
    await store.add('user', held('a', 1))
    await store.add('user', held('b', 2))
    t.same(await store.add('user', held('a', 3, { content: '"another"' })), 'known', 'makes no room')
    t.same(await store.add('user', held('b', 2)), [], 'the same one again, after a failure')
    t.same(await store.read('user', undefined, 10), [held('a', 1), held('b', 2)])
    t.same(await store.add('other', held('a', 3)), [])
    t.same(await idsOf(store, 'other'), ['a'])
    t.same(dropped, { overflow: 0, expired: 0, broken: 0 })
  })

  test('the hold is read in pages, after a cursor', async t => {
    const { store } = await open(t)
    const ids = Array.from({ length: 10 }, (_, index) => `n${9 - index}`)
    for (const [index, id] of ids.entries()) await store.add('user', held(id, Math.floor(index / 4))) // 4, 4 and 2 are equal
    const pages: string[][] = []
    let after: Held | undefined
    do {
      const page: readonly Held[] = await store.read('user', after, 3)
      pages.push(page.map(({ id }) => id))
      after = page.at(-1)
    } while (after !== undefined)
    t.same(pages, [ids.slice(0, 3), ids.slice(3, 6), ids.slice(6, 9), ids.slice(9), []])
  })

  test('fault 94: what is read at a time has a limit of bytes, which only a single notification may exceed', async t => {
    const { store } = await open(t)
    const large = (id: string, position: number): Held => ({ ...held(id, position), content: JSON.stringify('x'.repeat(1_000)) })
    for (const [n, id] of ['a', 'b', 'c', 'd'].entries()) await store.add('user', large(id, n))
    const idsOf = async (after: Held | undefined, maxBytes: number) => (await store.read('user', after, 10, maxBytes)).map(({ id }) => id)
    t.same(await idsOf(undefined, 2_500), ['a', 'b'])
    t.same(await idsOf(large('b', 1), 2_500), ['c', 'd'])
    t.same(await idsOf(undefined, 1), ['a'])
    t.same(await idsOf(undefined, 1_000_000), ['a', 'b', 'c', 'd'])
  })

  test('a cursor that is gone loses nothing of what comes after', async t => {
    const { store } = await open(t)
    for (const [id, position] of [['a', 1], ['b', 2], ['c', 2], ['d', 3]] as const) await store.add('user', held(id, position))
    await store.remove('user', ['b'])
    const after = async (id: string, position: number) => (await store.read('user', held(id, position), 10)).map(({ id }) => id)
    t.same(await after('b', 2), ['c', 'd'])
    await store.add('user', held('b', 0))
    t.same(await after('b', 2), ['c', 'd'], 'it is another now')
    t.same(await after('never there', 3), ['d'])
    t.same(await after('never there', 9), [])
    t.same(await store.read('nobody', held('a', 1), 10), [])
  })

  test('the hold keeps at most maxCount for a user, and drops the oldest', async t => {
    const { store, dropped } = await open(t, { maxCount: 3 })
    for (let n = 1; n <= 3; n++) t.same(await store.add('user', held(`n${n}`, n)), [])
    t.same(await store.add('user', held('n4', 4)), ['n1'])
    t.same(await store.add('user', held('before', 0)), ['before'], 'it is the oldest')
    t.same(await store.add('user', held('between', 2)), ['n2'])
    t.same(await idsOf(store, 'user'), ['between', 'n3', 'n4'])
    t.same(await store.add('other', held('n1')), [])
    t.same(dropped, { overflow: 3, expired: 0, broken: 0 })
  })

  test('the hold keeps at most maxBytes for a user, ids and contents in UTF-8', async t => {
    const { store, dropped } = await open(t, { maxBytes: 30 })
    const tenBytes = { content: '"789ü"' } // and an id of 3
    for (const [index, id] of ['one', 'two', 'six'].entries()) t.same(await store.add('user', held(id, index, tenBytes)), [])
    t.same(await store.add('user', held('big', 5, { content: `"${'x'.repeat(14)}"` })), ['one', 'two'])
    t.same(await idsOf(store, 'user'), ['six', 'big'])
    t.same(await store.add('user', held('huge', 6, { content: `"${'ü'.repeat(13)}"` })), ['huge'], '32 bytes')
    t.same(await idsOf(store, 'user'), ['six', 'big'], 'which pushes nothing else out')
    await store.remove('user', ['big'])
    t.same(await store.add('user', held('two', 7, tenBytes)), [])
    t.same(await store.add('user', held('one', 8, tenBytes)), [], 'what was removed leaves its room')
    t.same(dropped, { overflow: 3, expired: 0, broken: 0 })
  })

  test('what has expired in the hold is not read, and makes room before anything else', async t => {
    const { store, clock, dropped } = await open(t, { maxCount: 3 })
    await store.add('user', held('a', 1))
    await store.add('user', held('short', 2, { expiresAt: START + 60_000 }))
    await store.add('user', held('long', 3, { expiresAt: START + 90_000 }))
    clock.now += 59_999
    t.same(await idsOf(store, 'user'), ['a', 'short', 'long'])
    clock.now += 1
    t.same(await idsOf(store, 'user'), ['a', 'long'])
    t.same(dropped, { overflow: 0, expired: 1, broken: 0 })
    await store.add('user', held('b', 4))
    clock.now += 30_000
    t.same(await store.add('user', held('c', 5)), [])
    t.same(await idsOf(store, 'user'), ['a', 'b', 'c'])
    t.same(dropped, { overflow: 0, expired: 2, broken: 0 })
    t.same(await store.add('user', held('late', 6, { expiresAt: clock.now })), ['late'])
    t.same(await idsOf(store, 'user'), ['a', 'b', 'c'])
    t.same(dropped, { overflow: 0, expired: 3, broken: 0 })
  })

  test('the maxAge of the hold counts from the position', async t => {
    const { store, clock, dropped } = await open(t, { maxAge: 60_000 })
    await store.add('user', held('old', -59_000_000, { expiresAt: START + 900_000 }))
    await store.add('user', held('new', 0))
    t.same(await store.add('user', held('older', -60_000_000)), ['older'])
    t.same(await idsOf(store, 'user'), ['old', 'new'])
    clock.now += 1_000
    t.same(await idsOf(store, 'user'), ['new'])
    clock.now += 59_000
    t.same(await idsOf(store, 'user'), [])
    t.same(dropped, { overflow: 0, expired: 3, broken: 0 })
    t.same(await store.add('user', held('new', 60_000_000)), [], 'again, as a new one')
    t.same(await idsOf(store, 'user'), ['new'])
  })

  test('the hold keeps everything that is added at the same time', async t => {
    const { store, dropped } = await open(t, { maxCount: 300 })
    const ids = Array.from({ length: 305 }, (_, index) => `n${index}`)
    const results = await Promise.all(ids.map(async (id, index) => await store.add('user', held(id, index))))
    t.same(results.flat(), ids.slice(0, 5))
    t.same(await idsOf(store, 'user'), ids.slice(5))
    t.equal(dropped.overflow, 5)
  })

  test('whatever happens, the hold has what a plain list would have', async t => {
    const random = createRandom(t)
    const bounds = { maxCount: 6, maxBytes: 60, maxAge: 1_000_000 }
    const { store, clock, dropped } = await open(t, bounds)
    const model = createHoldModel(bounds, clock)
    for (let step = 0; step < 1_500; step++) {
      const user = `u${random.between(0, 1)}`
      const id = `n${random.between(0, 14)}`
      const position = random.between(-5, 5) * 100_000_000
      switch (random.between(0, 5)) {
        case 0: {
          const ids = [id, `n${random.between(0, 14)}`]
          model.remove(user, ids)
          await store.remove(user, ids)
          break
        }
        case 1: {
          clock.now += random.between(0, 100_000)
          break
        }
        default: {
          const one = held(id, (clock.now - START) * 1_000 + position, {
            content: `"${'x'.repeat(random.between(0, 12) ** 2 / 3)}"`,
            expiresAt: random.between(0, 2) === 0 ? clock.now + random.between(-10_000, 300_000) : Infinity
          })
          t.same(await store.add(user, one), model.add(user, one), `step ${step}: add`)
        }
      }
      t.same(await idsOf(store, user), model.ids(user), `step ${step}`)
    }
    t.same(dropped, model.dropped)
    t.ok(dropped.overflow > 0 && dropped.expired > 0, `${dropped.overflow} and ${dropped.expired} dropped`)
  })

  test('fault 98: at totalBytes the hold drops the oldest of the user who has most', async t => {
    const each = overhead.entry + 244
    const content = `"${'x'.repeat(241)}"` // 244 with an id of one byte
    const { store, dropped } = await open(t, { totalBytes: 3 * overhead.user + 8 * each })
    await store.add('early', held('a', 0, { content }))
    for (const [n, id] of ['b', 'c', 'd', 'e', 'f'].entries()) await store.add('greedy', held(id, n, { content }))
    await store.add('late', held('g', 0, { content }))
    await store.add('late', held('h', 1, { content }))
    t.equal(dropped.overflow, 0)
    t.same(await store.add('late', held('i', 2, { content })), [], "another user's id means nothing here")
    t.same(await idsOf(store, 'greedy'), ['c', 'd', 'e', 'f'])
    t.same(await store.add('greedy', held('j', 9, { content })), ['c'])
    t.same(await idsOf(store, 'early'), ['a'], 'whoever has little keeps it')
    t.equal(dropped.overflow, 2)
    await store.remove('greedy', ['d', 'e', 'f', 'j'])
    for (const [n, id] of ['k', 'l', 'm', 'n'].entries()) await store.add('late', held(id, 3 + n, { content }))
    t.equal((await idsOf(store, 'late')).length, 7, 'what is removed makes room')
    t.same(await store.add('early', held('p', 0, { content: `"${'x'.repeat(11_000)}"` })), ['p'], 'larger than all')
    t.equal(dropped.overflow, 3)
  })

  test('fault 98: whatever happens, all users together have no more than totalBytes, and whoever has most gives way', async t => {
    const random = createRandom(t)
    const totalBytes = 20_000
    const { store, overflowed } = await open(t, { totalBytes })
    const model = createTotalModel(totalBytes, overhead)
    for (let step = 0; step < 600; step++) {
      const user = `u${random.between(0, random.between(0, 9))}`
      const id = `n${random.between(0, 40)}`
      if (random.between(0, 4) === 0) {
        model.remove(user, [id])
        await store.remove(user, [id])
      } else {
        const one = held(id, random.between(0, 10_000), { content: `"${'x'.repeat(random.between(1, 30) ** 2)}"` })
        const result = await store.add(user, one)
        const drops = overflowed.splice(0)
        t.same(model.add(user, one, drops), [], `step ${step}`)
        if (result !== 'known') t.same(result, drops.flatMap(([whose, id]) => whose === user ? [id] : []), `step ${step}: ids`)
      }
      t.same(await idsOf(store, user), model.ids(user), `step ${step}`)
    }
    t.ok(model.dropCount > 50, `${model.dropCount} dropped`)
  })
}
