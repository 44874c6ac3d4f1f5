import { test } from 'tap'
import { createHoldStore } from '../../src/hold/index.js'
import { held, opener, START, testHoldContract } from '../support/hold-contract.js'

const open = opener(createHoldStore)

testHoldContract(open, { entry: 256, user: 512 })

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
  t.same(dropped, { overflow: 0, expired: 200, broken: 0 })
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

test('fault 98: the hold in memory counts two bytes for each character, where one of them is not Latin-1', async t => {
  const { store, dropped } = await open(t, { totalBytes: 3_100 })
  const content = `"${'é'.repeat(997)}"` // 1000 bytes of memory with the id
  await store.add('user', held('a', 0, { content }))
  t.same(await store.add('user', held('b', 1, { content })), [], 'room for two')
  t.same(await store.add('user', held('c', 2, { content: `"${'é'.repeat(996)}☃"` })), ['a', 'b'], 'takes as much as two')
  t.equal(dropped.overflow, 2)
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
  t.same(dropped, { overflow: 0, expired: 50 * 5, broken: 0 }, 'there was room for all, each time')
  t.same([...store.unsaved()], [])
})
