import type { Test } from 'tap'
import { Dispatcher } from '../../src/delivery/dispatcher.js'
import type { DeadLetterReason, HoldStore, Origin, Result, Subscriber } from '../../src/delivery/doors.js'
import { compose } from '../../src/delivery/notification.js'
import { Registry } from '../../src/delivery/registry.js'
import { MemoryHold } from '../../src/hold/memory.js'
import { Journal } from '../../src/observability/journal.js'
import { combineObservers } from '../../src/observability/observers.js'
import { Stats } from '../../src/observability/stats.js'
import { parseOptions } from '../../src/options/parse.js'
import type { NotificationPluginOptions } from '../../src/options/schema.js'
import { createApp } from './app.js'
import { call, connectOutbox } from './core.js'

const NEVER = 600_000

/** A client that speaks `notification.v1`. */
export interface RouterClient {
  /** The contents that it was sent. */
  readonly received: unknown[]
  ack (...ids: string[]): void
  end (): void
}

/** A message that the broker has delivered. */
export interface Delivered {
  readonly origin: Origin & { isMoved: boolean }
  readonly outcome: Promise<Result>
  /** The channel dies: the broker will deliver the message again. */
  loseChannel (): void
}

/** A store whose calls the test may answer in its place. */
export function overlay (store: HoldStore, own: Partial<HoldStore> = {}): HoldStore {
  return {
    isShared: store.isShared,
    add: async (...args) => await store.add(...args),
    read: async (...args) => await store.read(...args),
    remove: async (...args) => await store.remove(...args),
    ...own
  }
}

/** The way of the notifications of one user, '123', where the broker, the other instances and the hold do as a test says. */
export function setUpRouter (t: Test, { store, ...input }: Omit<NotificationPluginOptions, 'amqpUrl' | 'queue'> & { store?: Partial<HoldStore> }) {
  const options = parseOptions({ amqpUrl: 'amqp://localhost', queue: 'hello', ...input })
  const { app: { log } } = createApp(t)
  const subscribers = new Registry()
  const stats = new Stats()
  const journal = new Journal(100)
  const letters: DeadLetterReason[] = []

  const memory = new MemoryHold(options.hold, { dropped: () => t.fail('dropped') })
  const dispatcher = new Dispatcher({
    options,
    subscribers,
    windowSize: undefined,
    store: options.offline === 'hold' ? overlay(memory, store) : undefined,
    dismissals: undefined,
    observer: combineObservers([stats, journal], log),
    ownOrigin: { deadLetter },
    log,
    overdue: () => t.fail('overdue')
  })
  const { relays, close } = options.cluster
    ? connectOutbox(dispatcher, options.settle === 'acknowledged', NEVER)
    : { relays: [], close () {} }
  t.teardown(async () => {
    close()
    await dispatcher.close()
  })

  async function deadLetter (): Promise<void> { letters.push('offline') }

  return {
    stats,
    journal,
    /** The hold as it would be by itself. */
    memory,
    /** Why there is a dead letter, of each. */
    letters,
    /** What was published to the other instances. */
    relays,

    connect (): RouterClient {
      const received: unknown[] = []
      const connection: Subscriber = {
        id: 'connection',
        userId: '123',
        acknowledges: true,
        isUsable: true,
        isCongested: false,
        unackedCount: 0,
        send: payload => received.push(payload.text) > 0,
        relieved: async over => { if (!over.aborted) await new Promise(resolve => over.addEventListener('abort', resolve)) },
        spendClaim: () => true,
        dismiss () {}
      }
      subscribers.add(connection)
      dispatcher.joined(connection)
      return {
        received,
        ack: (...ids) => dispatcher.acknowledged(connection, ids),
        end () {
          subscribers.delete(connection)
          dispatcher.left(connection)
        }
      }
    },

    /** The broker delivers a message. */
    deliver (id: string, redelivered = false): Delivered {
      const gone = new AbortController()
      const message = { ...call, queue: 'hello', redelivers: true, redelivered, gone: gone.signal, deadLetter }
      const outcome = Promise.resolve(dispatcher.deliver(compose('123', id, id), message))
      outcome.catch(() => {})
      return { origin: message, outcome, loseChannel: () => gone.abort() }
    },

    /** As `notify()` does. */
    notify: async (id: string): Promise<Result> => await dispatcher.deliver(compose('123', id, id), { ...call, deadLetter })
  }
}
