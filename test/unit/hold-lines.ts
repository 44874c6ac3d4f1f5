// The order in which the hold gives out, where its store answers out of order.
import { EventEmitter, once } from 'node:events'
import { test, type Test } from 'tap'
import type { Connection } from '../../src/connection.js'
import { Delivery } from '../../src/delivery.js'
import { createLines } from '../../src/hold/lines.js'
import { createMemoryHold } from '../../src/hold/memory.js'
import { compose } from '../../src/message.js'
import { createRegistry } from '../../src/registry.js'
import { createApp } from '../support/app.js'

const NOW = Date.now() * 1_000

function setUp (t: Test) {
  const { app } = createApp(t)
  const memory = createMemoryHold({ maxCount: 100, maxAge: 1e9, maxBytes: 1e6, totalBytes: 1e6 }, { dropped: () => t.fail('dropped') })
  const registry = createRegistry()
  const events = new EventEmitter()
  const late = new Map<string, Promise<void>>()
  const taken: string[] = []
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
        events.emit('taken')
        return true
      },
      relieved: () => [],
      find: (_userId, id) => taken.includes(id) ? {} as Delivery : undefined
    }
  })
  t.teardown(() => lines.close())

  return {
    lines,
    taken,
    /** Lets the adds of an id wait until the returned function is called. */
    delayAdd (id: string): () => void {
      let go = () => {}
      late.set(id, new Promise(resolve => { go = resolve }))
      return go
    },
    connect () {
      registry.add({ userId: '123' } as Connection)
      lines.opened('123')
    },
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
  const go = delayAdd('first')
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
