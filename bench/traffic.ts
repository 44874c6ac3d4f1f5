import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import type { Channel, Options } from 'amqplib'
import type { Ledger } from './ledger.js'

/** So many messages may be under way: enough to keep every contender busy, and no backlog to work off. */
const WINDOW = 4_000

export interface Traffic {
  readonly channel: Channel
  /** The queues of the users in turn. */
  readonly queues: string[]
  readonly userIds: string[]
  readonly ledger: Ledger
  /** Characters of a content. */
  readonly length: number
  /** Whether a message has the properties that applications and tracing add. */
  readonly hasProperties: boolean
}

/** What a framework and OpenTelemetry add to a message: ten headers, `traceparent` among them. */
const PROPERTIES: Options.Publish = {
  persistent: true,
  contentType: 'application/json',
  contentEncoding: 'utf-8',
  messageId: '0190d6a4-7a3c-7e1b-9f7e-5a2d8c3b1f60',
  correlationId: '0190d6a4-7a3c-7e1b-9f7e-5a2d8c3b1f61',
  timestamp: 1_764_000_000,
  type: 'order.shipped',
  appId: 'shop',
  headers: {
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    tracestate: 'vendor=t61rcWkgMzE',
    baggage: 'tenant=42,region=eu',
    'x-tenant': '42',
    'x-source': 'orders',
    'x-schema': 'order-shipped/3',
    'x-attempt': 1,
    'x-priority': 'normal',
    'x-published-at': '2026-11-26T12:00:00.000Z',
    'x-is-test': false
  }
}

/** A message for each user in turn. */
function createPublish ({ channel, queues, userIds, ledger, length, hasProperties }: Traffic): () => void {
  // An id that several messages have would make them one.
  const propertiesOf = (number: number) => hasProperties ? { ...PROPERTIES, messageId: `${PROPERTIES.messageId}-${number}` } : { persistent: true }
  let next = 0
  return () => {
    const user = next++ % userIds.length
    const message = JSON.stringify({ userId: userIds[user], content: ledger.write(user, length) })
    channel.publish('', queues[user % queues.length]!, Buffer.from(message), propertiesOf(next))
  }
}

/** Publishes so many messages, whether they arrive or not. */
export async function publish (traffic: Traffic, count: number): Promise<void> {
  const publishOne = createPublish(traffic)
  for (let published = 1; published <= count; published++) {
    publishOne()
    if (published % 100 === 0) await turn()
  }
}

/** Publishes so many messages, as fast as they arrive; resolves when all have. */
export async function flood (traffic: Traffic, count: number): Promise<void> {
  const { ledger } = traffic
  const publish = createPublish(traffic)
  const start = ledger.received
  const arrived = ledger.arrival(start + count)
  for (let published = 0; published < count;) {
    const room = Math.min(WINDOW - (published - (ledger.received - start)), count - published, 100)
    for (let i = 0; i < room; i++) publish()
    published += Math.max(room, 0)
    await turn()
  }
  await arrived
}

/** Publishes so many messages a second for so many seconds; resolves when all have arrived. */
export async function pace (traffic: Traffic, rate: number, seconds: number): Promise<void> {
  const { ledger } = traffic
  const publish = createPublish(traffic)
  const total = Math.round(rate * seconds)
  const arrived = ledger.arrival(ledger.received + total)
  const begin = performance.now()
  for (let published = 0; published < total;) {
    const due = Math.min(total, Math.round((performance.now() - begin) / 1_000 * rate))
    for (; published < due; published++) publish()
    await delay(1)
  }
  await arrived
}
