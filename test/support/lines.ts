import { EventEmitter, once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Connection } from '../../src/websocket/connection.js'
import { Delivery } from '../../src/delivery/delivery.js'
import { createLines } from '../../src/delivery/hold-drain.js'
import { createMemoryHold } from '../../src/hold/memory.js'
import { compose } from '../../src/rabbitmq/message.js'
import { createRegistry } from '../../src/delivery/registry.js'
import { createApp } from './app.js'

const NOW = Date.now() * 1_000

/** The way into the hold and out of it of one user, '123', with a store whose answers the test may delay. */
export function setUpLines (t: Test, maxCount = 100) {
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
    abandoned: () => t.fail('abandoned'),
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
