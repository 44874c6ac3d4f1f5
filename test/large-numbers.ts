// What must not fill a stack, or take quadratic time, however much of it there is.
import { test } from 'tap'
import { createBindings } from '../src/cluster/bindings.js'
import { eventually } from './support/eventually.js'
import { setUpLines } from './support/lines.js'

const users = Array.from({ length: 200_000 }, (_, n) => `u${n}`)

test('200,000 users who have gone before there was an inbox are not bound, and those who came are, in their order', async t => {
  const bound: string[] = []
  const bindings = createBindings(0, userId => bound.push(userId))
  t.teardown(bindings.close)
  for (const user of users) bindings.add(user)
  for (const user of users) bindings.release(user)
  const staying = users.map(user => `staying ${user}`)
  for (const user of staying) bindings.add(user)
  bindings.resume([{ bind: async () => {}, unbind: async () => {} }])
  await eventually(() => bound.length === users.length, 'bound')
  t.equal(bindings.size, users.length)
  t.equal(bound.findIndex((user, n) => user !== staying[n]), -1)
})

test('200,000 that are on their way into the hold do not keep what is in it from being given out in order', async t => {
  const { add, connect, delayAdd, kept, makeRoom, taken, takenAll } = setUpLines(t, 300_000)
  const first = kept('n0')
  add('n0', 0)
  await first
  const ids = Array.from({ length: 200_000 }, (_, n) => `n${n}`)
  const go = delayAdd(ids)
  for (const [n, id] of ids.entries()) if (n > 1) add(id, n)
  add('n1', 1) // comes back, and is older than the others
  connect()
  makeRoom(2 * ids.length)
  await takenAll(1)
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve))
  t.same(taken, ['n0'], 'what is in it already')
  go()
  await takenAll(ids.length)
  t.equal(taken.findIndex((id, n) => id !== ids[n]), -1, 'in order')
})
