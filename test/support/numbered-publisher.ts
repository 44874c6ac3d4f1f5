import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, type ConfirmChannel } from 'amqplib'

/** Publishes that wait for their confirm, at most: enough to be in mid-stream at any time. */
const WINDOW = 500
const TICK = 20 // ms

export interface PublisherOptions {
  url: string
  queue: string
  /** How many to publish: the numbers from 0 on. */
  count: number
  /** In a second, while the broker is there. */
  rate: number
  bodyOf (number: number): object
  messageIdOf (number: number): string | undefined
}

export interface NumberedPublisher {
  readonly confirmed: ReadonlySet<number>
  /** Those that were published more than once, as the first time was not confirmed. */
  readonly repeated: ReadonlySet<number>
  /** When each was published for the first time, in milliseconds since 1970. */
  readonly publishedAt: readonly number[]
  /** Resolves when every one is confirmed, or it was stopped. */
  readonly finished: Promise<void>
  stop (): Promise<void>
}

/** Publishes persistent messages, in order, and each that was not confirmed again, until every one is. */
export function startNumberedPublisher ({ url, queue, count, rate, bodyOf, messageIdOf }: PublisherOptions): NumberedPublisher {
  const confirmed = new Set<number>()
  const repeated = new Set<number>()
  const unconfirmed = new Set<number>()
  const publishedAt: number[] = []
  const stopped = new AbortController()
  const isDone = () => confirmed.size === count || stopped.signal.aborted

  function publish (channel: ConfirmChannel, number: number): void {
    const messageId = messageIdOf(number)
    unconfirmed.add(number)
    channel.sendToQueue(queue, Buffer.from(JSON.stringify(bodyOf(number))), { persistent: true, ...messageId && { messageId } }, error => {
      if (error !== null) return // published again on the next channel
      confirmed.add(number)
      unconfirmed.delete(number)
    })
  }

  async function publishAll (channel: ConfirmChannel, isAlive: () => boolean): Promise<void> {
    for (const number of unconfirmed) {
      repeated.add(number)
      publish(channel, number)
    }
    while (isAlive() && !isDone()) {
      for (let n = 0; n < rate * TICK / 1_000 && publishedAt.length < count && unconfirmed.size < WINDOW; n++) {
        publishedAt.push(Date.now())
        publish(channel, publishedAt.length - 1)
      }
      await delay(TICK)
    }
  }

  async function run (): Promise<void> {
    while (!isDone()) {
      try {
        const connection = await connect(`${url}?heartbeat=1`, { noDelay: true, timeout: 1_000 })
        let alive = true
        connection.on('error', () => {})
        const closed = once(connection, 'close').catch(() => {}).then(() => { alive = false })
        await Promise.race([closed, connection.createConfirmChannel().then(async channel => {
          channel.on('error', () => {})
          await publishAll(channel, () => alive)
        })])
        if (alive) await connection.close()
      } catch {
        await delay(TICK) // the broker is away
      }
    }
  }

  const finished = run()
  return {
    confirmed,
    repeated,
    publishedAt,
    finished,
    async stop () {
      stopped.abort()
      await finished
    }
  }
}
