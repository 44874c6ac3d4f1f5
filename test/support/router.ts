import type { ConsumeMessage } from 'amqplib'
import type { Test } from 'tap'
import { createOutbox } from '../../src/cluster/outbox.js'
import type { Connection } from '../../src/connection.js'
import type { DeadLetterReason } from '../../src/dead-letters.js'
import type { Delivery, Origin, Routed } from '../../src/delivery.js'
import { createMemoryHold } from '../../src/hold/memory.js'
import type { HoldStore } from '../../src/hold/store.js'
import { createJournal } from '../../src/journal.js'
import { compose } from '../../src/message.js'
import type { NotificationPluginOptions } from '../../src/options.js'
import { parseOptions } from '../../src/parse-options.js'
import { createRegistry } from '../../src/registry.js'
import { createRouter, type Router } from '../../src/router.js'
import { createStats } from '../../src/stats.js'
import { createApp } from './app.js'

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
  readonly origin: Origin
  readonly outcome: Promise<Routed>
  /** The channel dies: the broker will deliver the message again. */
  loseChannel (): void
}

/** The way of the notifications of one user, '123', where the broker, the other instances and the hold do as a test says. */
export function setUpRouter (t: Test, { store, ...input }: Omit<NotificationPluginOptions, 'amqpUrl' | 'queue'> & { store?: Partial<HoldStore> }) {
  const options = parseOptions({ amqpUrl: 'amqp://localhost', queue: 'hello', ...input })
  const { app: { log } } = createApp(t)
  const registry = createRegistry()
  const stats = createStats()
  const journal = createJournal(100)
  const letters: DeadLetterReason[] = []
  const relays: Array<{ body: string, answered (isRouted: boolean | undefined): void }> = []
  let lastId = 0

  const outbox = createOutbox({
    registry,
    awaitsAcks: options.settle === 'acknowledged',
    receiptTimeout: NEVER,
    publishTimeout: NEVER,
    nextId: () => ++lastId,
    publish (_userId, body, _isHere, answered) { relays.push({ body, answered }) },
    tell () {},
    relayed: (delivery, isElsewhere) => router.relayed(delivery, isElsewhere),
    settledElsewhere: (delivery, outcome, connections) => router.settledElsewhere(delivery, outcome, connections)
  })
  const memory = createMemoryHold(options.hold, { dropped: () => t.fail('dropped') })
  const router: Router = createRouter({
    options,
    registry,
    deadLetters: {
      async add (_origin, why) { letters.push(why) },
      async addOwn (_message, why) { letters.push(why) }
    },
    store: options.offline === 'hold' ? { ...memory, size: 0, ...store } : undefined,
    relays: options.cluster ? { ...outbox, wake () {} } : undefined,
    stats,
    log,
    released: journal.released,
    repeated: journal.repeated,
    onOverdue: () => t.fail('overdue')
  })
  const route = journal.watch(router.route)
  t.teardown(async () => {
    outbox.close()
    await router.close()
  })

  return {
    router,
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
      const connection = {
        userId: '123',
        isRich: true,
        isUsable: true,
        isCongested: false,
        unacked: new Map<string, Delivery>(),
        send: payload => received.push(payload.content) > 0,
        relieved: async over => { if (!over.aborted) await new Promise(resolve => over.addEventListener('abort', resolve)) },
        spendClaim: () => true,
        tell () {}
      } as Partial<Connection> as Connection
      registry.add(connection)
      router.opened(connection)
      return {
        received,
        ack: (...ids) => router.acknowledged(connection, ids),
        end () {
          registry.delete(connection)
          router.ended(connection)
        }
      }
    },

    /** The broker delivers a message. */
    deliver (id: string, redelivered = false): Delivered {
      const gone = new AbortController()
      const message = { fields: { redelivered }, properties: {} } as ConsumeMessage
      const origin: Origin = { message, queue: 'hello', gone: gone.signal }
      const outcome = Promise.resolve(route(compose('123', id, id), origin))
      outcome.catch(() => {})
      return { origin, outcome, loseChannel: () => gone.abort() }
    },

    /** As `notify()` does. */
    notify: async (id: string): Promise<Routed> => await route(compose('123', id, id))
  }
}
