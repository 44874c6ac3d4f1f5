import { test } from 'tap'
import { createHoldStore } from '../../src/hold/index.js'
import { held, idsOf, opener, START, testHoldContract } from '../support/hold-contract.js'

const open = opener(async (options, dropped, clock) => await createHoldStore(options, {
  dropped: (reason, count) => { dropped[reason] += count },
  now: () => clock.now
}))

testHoldContract(open)

test('the size of the hold in memory is how many it keeps', async t => {
  const { store, clock } = await open(t, { maxCount: 2 })
  t.equal(store.size, 0)
  for (const id of ['a', 'b', 'c', 'c']) await store.add('user', held(id))
  await store.add('other', held('a', 0, { expiresAt: START + 1 }))
  t.equal(store.size, 3)
  await store.remove('user', ['b', 'gone'])
  t.equal(store.size, 2)
  clock.now++
  await store.read('other', undefined, 1)
  t.equal(store.size, 1)
  await store.close()
  t.equal(store.size, 0)
})

test('sweep() of the hold in memory drops what has expired, of every user', async t => {
  const { store, clock, dropped } = await open(t, { maxAge: 60_000 })
  for (let user = 0; user < 100; user++) {
    await store.add(`u${user}`, held('own', 0, { expiresAt: START + 1_000 + user }))
    await store.add(`u${user}`, held('aged', 1))
  }
  clock.now += 999
  store.sweep()
  t.equal(store.size, 200)
  clock.now += 50
  store.sweep()
  t.equal(store.size, 150)
  clock.now += 1
  store.sweep()
  t.equal(store.size, 149, 'and knows what comes next')
  clock.now = START + 60_001
  store.sweep()
  t.equal(store.size, 0)
  t.same(dropped, { overflow: 0, expired: 200 })
})

test('unsaved() of the hold in memory is everything that is kept and has not expired', async t => {
  const { store, clock, dropped } = await open(t)
  await store.add('a', held('2', 2))
  await store.add('a', held('1', 1))
  await store.add('a', held('3', 3, { expiresAt: START + 1 }))
  await store.add('b', held('4'))
  await store.add('c', held('5', 0, { expiresAt: START + 1 }))
  clock.now++
  const found: unknown[] = []
  for (const [userId, list] of store.unsaved()) {
    found.push([userId, list])
    await store.remove(userId, list.map(({ id }) => id)) // as one who saves it would
  }
  t.same(found, [['a', [held('1', 1), held('2', 2)]], ['b', [held('4')]]])
  t.equal(store.size, 0)
  t.equal(dropped.expired, 2)
})

test('at totalBytes the hold in memory drops the oldest of the user who has had something waiting for the longest time', async t => {
  // An entry takes 256 bytes and its text, a user 512.
  const content = `"${'x'.repeat(241)}"` // 244 with an id of one byte
  const { store, dropped } = await open(t, { totalBytes: 3 * 512 + 5 * 500 })
  await store.add('first', held('a', 10, { content }))
  await store.add('second', held('b', 0, { content }))
  await store.add('third', held('c', 0, { content }))
  await store.add('first', held('d', 11, { content }))
  t.same(await store.add('second', held('e', 0, { content })), [])
  t.equal(dropped.overflow, 0)

  t.same(await store.add('second', held('f', 0, { content })), [], "another user's id means nothing here")
  t.same(await idsOf(store, 'first'), ['d'])
  t.same(await store.add('first', held('g', 12, { content })), ['d'])
  t.same(await store.add('first', held('h', 11, { content })), ['h'], 'it is their oldest')
  t.equal(dropped.overflow, 3)
  await store.remove('first', ['g'])
  await store.add('third', held('i', 0, { content }))
  t.same(await store.add('fourth', held('j', 0, { content })), [])
  t.same(await idsOf(store, 'second'), ['e', 'f'], 'first is gone, and so is their place in front')
  t.same(await store.add('first', held('k', 0, { content: `"${'x'.repeat(5_000)}"` })), ['k'], 'larger than all')
  t.equal(dropped.overflow, 5)
  t.equal(store.size, 5)
})

test('the hold in memory keeps nothing of users who have nothing waiting any more', async t => {
  const { store, clock, dropped } = await open(t, { totalBytes: 10 * 512 + 10 * 500, maxCount: 1 })
  const content = `"${'x'.repeat(241)}"`
  for (let round = 0; round < 50; round++) {
    for (let user = 0; user < 10; user++) await store.add(`${round} ${user}`, held('a', 0, { content, expiresAt: clock.now + 1 }))
    for (let user = 0; user < 5; user++) await store.remove(`${round} ${user}`, ['a'])
    clock.now++
    for (let user = 5; user < 8; user++) await store.read(`${round} ${user}`, undefined, 1)
    store.sweep()
    t.equal(store.size, 0)
  }
  t.same(dropped, { overflow: 0, expired: 50 * 5 }, 'there was room for all, each time')
  t.same([...store.unsaved()], [])
})
