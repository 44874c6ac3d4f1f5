import type { Observer } from '../../delivery/doors.js'
import { QueueMessage } from '../../rabbitmq/queue-message.js'
import type { Histogram } from './prom-client.js'

/** Larger timestamps are in milliseconds, as some publishers use Date.now(). 1e11 milliseconds is the year 1973. */
const MAX_SECONDS = 1e11

/** Replaces `receivedAt` of a message that has been measured. */
const OBSERVED = -1

export interface TimeHistograms {
  readonly sinceConsumption: Histogram
  readonly sincePublish: Histogram
  readonly relayConfirm: Histogram
  readonly relayReceipt: Histogram
}

export type Times = ReturnType<typeof createTimes>

type Confirmed = (isRouted: boolean | undefined) => void

/** Measures how long messages of the queue take, and relays to peers. */
export function createTimes ({ sinceConsumption, sincePublish, relayConfirm, relayReceipt }: TimeHistograms) {
  function observe (arrived: QueueMessage, outcome: string): void {
    const { message, queue, receivedAt } = arrived
    if (receivedAt === OBSERVED) return // a client may acknowledge a message after it was dead-lettered
    arrived.receivedAt = OBSERVED
    const labels = { queue, outcome }
    sinceConsumption.observe(labels, secondsSince(receivedAt))
    const published = publishTime(message)
    // The clocks of two machines may differ, so the result may be negative.
    if (published !== undefined) sincePublish.observe(labels, Math.max(0, (Date.now() - published) / 1_000))
  }

  const observer: Partial<Observer> = {
    received (origin) {
      (origin as QueueMessage).receivedAt = performance.now()
    },

    rejected (origin) {
      observe(origin as QueueMessage, 'dead-lettered')
    },

    settled (_notification, origin, _kind, { outcome }) {
      if (origin instanceof QueueMessage) observe(origin, outcome)
    }
  }

  return {
    observer,

    /** Must be called when a relay is published. The returned callback measures the time, then calls `done`. */
    confirmed (done: Confirmed): Confirmed {
      const begun = performance.now()
      return isRouted => {
        if (isRouted !== undefined) relayConfirm.observe({ result: isRouted ? 'routed' : 'returned' }, secondsSince(begun))
        done(isRouted)
      }
    },

    /** A peer has sent a receipt for a relay. */
    receipt (receipt: 'taken' | 'nobody' | 'sent' | 'acknowledged' | 'held', begun: number): void {
      relayReceipt.observe({ receipt }, secondsSince(begun))
    }
  }
}

function secondsSince (begun: number): number {
  return (performance.now() - begun) / 1_000
}

/**
 * When a message was published, in milliseconds since 1970: by RabbitMQ's clock if RabbitMQ sets the header, otherwise
 * by the publisher's clock.
 */
function publishTime ({ properties: { timestamp, headers } }: QueueMessage['message']): number | undefined {
  const exact: unknown = headers?.timestamp_in_ms
  if (typeof exact === 'number') return exact
  if (typeof timestamp !== 'number' || timestamp <= 0) return undefined
  return timestamp > MAX_SECONDS ? timestamp : timestamp * 1_000
}
