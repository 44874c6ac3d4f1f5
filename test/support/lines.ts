import { EventEmitter, once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import type { Test } from 'tap'
import { Delivery } from '../../src/delivery/delivery.js'
import type { Subscriber } from '../../src/delivery/doors.js'
import { Hold } from '../../src/delivery/hold.js'
import { Mailboxes } from '../../src/delivery/mailbox.js'
import { compose } from '../../src/delivery/notification.js'
import { Registry } from '../../src/delivery/registry.js'
import { MemoryHold } from '../../src/hold/memory.js'
import { createApp } from './app.js'
import { overlay } from './router.js'

/** The way into the hold and out of it of one user, '123', with a store whose answers the test may delay. */
export function setUpLines (t: Test, maxCount = 100) {
  const now = Date.now() * 1_000
  const { app } = createApp(t)
  const memory = new MemoryHold({ maxCount, maxAge: 1e9, maxBytes: 1e9, totalBytes: 1e9 }, { dropped: () => t.fail('dropped') })
  const subscribers = new Registry()
  const mailboxes = new Mailboxes()
  const events = new EventEmitter()
  const late = new Map<string, Promise<void>>()
  const taken: string[] = []
  let room = 0

  const hold = new Hold({
    subscribers,
    mailboxes,
    log: app.log,
    kept: ({ id }) => { events.emit(`kept ${id}`) },
    failed: (_delivery, error) => t.error(error),
    abandoned: () => t.fail('abandoned'),
    settledLate: () => t.fail('late'),
    // Adds of some are slow.
    store: overlay(memory, { async add (userId, held) { await late.get(held.id); return await memory.add(userId, held) } }),
    inFlight: {
      hasRoom: () => room > 0,
      offer (delivery) {
        const { userId, id } = delivery
        room--
        taken.push(id)
        mailboxes.open(userId).inFlight.set(id, delivery)
        events.emit('taken')
        return true
      },
      relieved: () => []
    }
  })
  t.teardown(() => hold.close())

  return {
    hold,
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
      subscribers.add({ userId: '123' } as Subscriber)
      hold.start('123')
      await turn()
    },
    disconnect () {
      for (const subscriber of subscribers.of('123')) subscribers.delete(subscriber)
      mailboxes.get('123')?.holdTransit?.touch()
    },
    /** As another instance does with the same store. */
    keepElsewhere: async (id: string, position: number, content = '1') => { await memory.add('123', { id, content, position: now + position, expiresAt: Infinity }) },
    makeRoom (count: number) {
      room += count
      mailboxes.get('123')?.holdTransit?.touch()
    },
    add (id: string, position: number) {
      hold.keep(mailboxes.open('123'), new Delivery(compose('123', id, id), undefined, now + position, Infinity))
    },
    kept: async (id: string) => { await once(events, `kept ${id}`) },
    async takenAll (count: number) {
      while (taken.length < count) await once(events, 'taken')
    }
  }
}
