import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import type { Channel } from 'amqplib'
import type { Ledger } from './ledger.js'

/** So many messages may be under way: enough to keep every contender busy, and no backlog to work off. */
const WINDOW = 4_000

export interface Traffic {
  readonly channel: Channel
  readonly queue: string
  readonly userIds: string[]
  readonly ledger: Ledger
  /** Characters of a content. */
  readonly length: number
}

/** A message for each user in turn. */
function createPublish ({ channel, queue, userIds, ledger, length }: Traffic): () => void {
  let next = 0
  return () => {
    const user = next++ % userIds.length
    const message = JSON.stringify({ userId: userIds[user], content: ledger.write(user, length) })
    channel.publish('', queue, Buffer.from(message), { persistent: true })
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
