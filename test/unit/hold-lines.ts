// The order in which the hold gives out, where its store answers out of order.
import { EventEmitter, once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { test, type Test } from 'tap'
import type { Connection } from '../../src/connection.js'
import { Delivery } from '../../src/delivery.js'
import { createLines } from '../../src/hold/lines.js'
import { createMemoryHold } from '../../src/hold/memory.js'
import { compose } from '../../src/message.js'
import { createRegistry } from '../../src/registry.js'
import { createApp } from '../support/app.js'

const NOW = Date.now() * 1_000

function setUp (t: Test, maxCount = 100) {
  const { app } = createApp(t)
  const memory = createMemoryHold({ maxCount, maxAge: 1e9, maxBytes: 1e9, totalBytes: 1e9 }, { dropped: () => t.fail('dropped') })
  const registry = createRegistry()
  const events = new EventEmitter()
  const late = new Map<string, Promise<void>>()
  const taken: string[] = []
  const known = new Set<string>()
  let room = 0

  const lines = createLines({
    registry,
    log: app.log,
    kept: ({ id }) => { events.emit(`kept ${id}`) },
    failed: (_delivery, error) => t.error(error),
    settledLate: () => t.fail('late'),
    // Adds of some are slow.
    store: { ...memory, size: 0, async add (userId, held) { await late.get(held.id); return await memory.add(userId, held) } },
    inFlight: {
      hasRoom: () => room > 0,
      offer ({ id }) {
        room--
        taken.push(id)
        known.add(id)
        events.emit('taken')
        return true
      },
      relieved: () => [],
      find: (_userId, id) => known.has(id) ? {} as Delivery : undefined
    }
  })
  t.teardown(() => lines.close())

  return {
    lines,
    taken,
    /** Lets the adds of some ids wait until the returned function is called. */
    delayAdd (ids: string[]): () => void {
      let go = () => {}
      const gate = new Promise<void>(resolve => { go = resolve })
      for (const id of ids) late.set(id, gate)
      return go
    },
    /** @returns when the first read has been answered, and what it brought was looked at */
    async connect (): Promise<void> {
      registry.add({ userId: '123' } as Connection)
      lines.opened('123')
      await turn()
    },
    disconnect () {
      for (const connection of registry.of('123')) registry.delete(connection)
      lines.changed('123')
    },
    /** As another instance does with the same store. */
    keepElsewhere: async (id: string, position: number) => { await memory.add('123', { id, content: '1', position: NOW + position, expiresAt: Infinity }) },
    makeRoom (count: number) {
      room += count
      lines.changed('123')
    },
    add (id: string, position: number) {
      lines.add(new Delivery(compose('123', id, id), NOW + position, Infinity, undefined))
    },
    kept: async (id: string) => { await once(events, `kept ${id}`) },
    async takenAll (count: number) {
      while (taken.length < count) await once(events, 'taken')
    }
  }
}

test('what is not kept yet is waited for by what came later', async t => {
  const { add, connect, delayAdd, kept, makeRoom, taken, takenAll } = setUp(t)
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
  const { add, connect, kept, makeRoom, taken, takenAll } = setUp(t)
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

test('200,000 that are on their way into the hold do not keep what is in it from being given out in order', async t => {
  const { add, connect, delayAdd, kept, makeRoom, taken, takenAll } = setUp(t, 300_000)
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

test('one that is kept while others are delivered is not missed, though it is newer than those that were delivered', async t => {
  const { add, connect, kept, makeRoom, taken, takenAll } = setUp(t)
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
  const { add, connect, disconnect, keepElsewhere, kept, makeRoom, taken, takenAll } = setUp(t)
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
