// The order in which the hold gives out, where its store answers out of order.
import { test } from 'tap'
import { setUpLines } from '../support/lines.js'

test('what is not kept yet is waited for by what came later', async t => {
  const { add, connect, delayAdd, kept, makeRoom, taken, takenAll } = setUpLines(t)
  const go = delayAdd(['first'])
  const second = kept('second')
  add('first', 1)
  add('second', 2)
  await second
  connect()
  makeRoom(10)
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve))
  t.same(taken, [])
  go()
  await takenAll(2)
  t.same(taken, ['first', 'second'])
})

test('a notification that comes back is given out before those that came later', async t => {
  const { add, connect, kept, makeRoom, taken, takenAll } = setUpLines(t)
  for (const [n, id] of ['second', 'third', 'fourth'].entries()) {
    const done = kept(id)
    add(id, n + 2)
    await done
  }
  connect()
  makeRoom(1)
  await takenAll(1)
  const first = kept('first')
  add('first', 1)
  await first
  makeRoom(10)
  await takenAll(4)
  t.same(taken, ['second', 'first', 'third', 'fourth'])
})

test('one that is kept while others are delivered is not missed, though it is newer than those that were delivered', async t => {
  const { add, connect, kept, makeRoom, taken, takenAll } = setUpLines(t)
  for (const [id, position] of [['first', 1], ['third', 3]] as const) {
    const done = kept(id)
    add(id, position)
    await done
  }
  connect()
  makeRoom(1)
  await takenAll(1)
  const second = kept('second')
  add('second', 2)
  await second
  makeRoom(10)
  await takenAll(3)
  t.same(taken, ['first', 'second', 'third'])
})

test('what another instance keeps while nobody is connected is delivered with the next connection', async t => {
  const { add, connect, disconnect, keepElsewhere, kept, makeRoom, taken, takenAll } = setUpLines(t)
  const done = kept('second')
  add('second', 2)
  await done
  const read = connect()
  disconnect() // before the read is answered
  await read
  await keepElsewhere('first', 1)
  connect()
  makeRoom(10)
  await takenAll(2)
  t.same(taken, ['first', 'second'])
})

test('fault 94: what is held is handed out in portions, with a turn of the event loop between two', async t => {
  const { connect, keepElsewhere, makeRoom, taken, takenAll } = setUpLines(t)
  const content = JSON.stringify('x'.repeat(20_000))
  for (let n = 0; n < 10; n++) await keepElsewhere(`n${n}`, n, content)
  makeRoom(10)
  await connect()
  t.same(taken, ['n0', 'n1', 'n2'], 'as many as 64 KiB hold')
  await takenAll(10)
  t.same(taken, Array.from({ length: 10 }, (_, n) => `n${n}`))
})
