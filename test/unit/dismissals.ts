import { test } from 'tap'
import { MemoryDismissals, SharedDismissals } from '../../src/hold/dismissals.js'

test('in memory, acknowledged ids are remembered for a while, and in the order of the last acknowledgement', async t => {
  let now = 0
  const dismissals = new MemoryDismissals(1_000, () => now)
  t.same(await dismissals.read('u'), [])
  for (const id of ['a', 'b', 'a', 'c']) {
    now += 100
    dismissals.add('u', id)
  }
  t.same(await dismissals.read('u'), ['b', 'a', 'c'])
  now = 1_300
  t.same(await dismissals.read('u'), ['c'])
  t.same(await dismissals.read('v'), [])
})

test('in memory, ids are bounded for each user, and for all users together: then the user who has been quiet the longest is forgotten', async t => {
  const dismissals = new MemoryDismissals(Infinity, () => 0)
  for (let n = 0; n < 500; n++) dismissals.add('busy', `${n}`)
  t.same(await dismissals.read('busy'), Array.from({ length: 100 }, (_, n) => `${n + 400}`))
  for (let user = 0; user < 1_000; user++) for (let n = 0; n < 100; n++) dismissals.add(`u${user}`, `${n}`)
  t.same(await dismissals.read('busy'), [])
  t.equal((await dismissals.read('u0')).length, 100)
  dismissals.add('one more', 'x')
  t.same(await dismissals.read('u0'), [])
  t.equal((await dismissals.read('u999')).length, 100)
})

test('in Redis, the ids of one turn are written by one call for each user, at most as many as are kept', async t => {
  const calls: Array<[string, readonly string[]]> = []
  const dismissals = new SharedDismissals({
    async add (userId, ids) {
      calls.push([userId, ids])
      throw new Error('away')
    },
    async read () { throw new Error('away') }
  })
  for (const id of ['a', 'b']) dismissals.add('u', id)
  for (let n = 0; n < 150; n++) dismissals.add('v', `${n}`)
  await new Promise(resolve => setImmediate(resolve))
  dismissals.add('u', 'c')
  await new Promise(resolve => setImmediate(resolve))
  t.same(calls.map(([userId, ids]) => [userId, ids.length, ids.at(-1)]), [['u', 2, 'b'], ['v', 100, '149'], ['u', 1, 'c']])
  t.same(await dismissals.read('u'), [], 'a Redis that is away is no failure')
})
