import type { Observer } from '../../delivery/doors.js'
import { QueueMessage } from '../../rabbitmq/queue-message.js'
import type { Histogram } from './prom-client.js'

/** No time in seconds is beyond; in milliseconds it is the year 1973. Some publish what Date.now() says. */
const MAX_SECONDS = 1e11

/** In place of the time when a message was received. */
const OBSERVED = -1

export interface TimeHistograms {
  readonly sinceConsumption: Histogram
  readonly sincePublish: Histogram
  readonly relayConfirm: Histogram
  readonly relayReceipt: Histogram
}

export type Times = ReturnType<typeof createTimes>

type Confirmed = (isRouted: boolean | undefined) => void

/** Measures how long what comes from the queue takes, and what goes to other instances. */
export function createTimes ({ sinceConsumption, sincePublish, relayConfirm, relayReceipt }: TimeHistograms) {
  function observe (arrived: QueueMessage, outcome: string): void {
    const { message, queue, receivedAt } = arrived
    if (receivedAt === OBSERVED) return // a client may acknowledge what was dead-lettered meanwhile
    arrived.receivedAt = OBSERVED
    const labels = { queue, outcome }
    sinceConsumption.observe(labels, secondsSince(receivedAt))
    const published = publishTime(message)
    // The clocks of two machines differ.
    if (published !== undefined) sincePublish.observe(labels, Math.max(0, (Date.now() - published) / 1_000))
  }

  const observer: Observer = {
    hosted () {},
    failed () {},
    abandoned () {},
    settledLate () {},

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

    /** To be called when a relay is published: who is told is told after it was measured. */
    confirmed (done: Confirmed): Confirmed {
      const begun = performance.now()
      return isRouted => {
        if (isRouted !== undefined) relayConfirm.observe({ result: isRouted ? 'routed' : 'returned' }, secondsSince(begun))
        done(isRouted)
      }
    },

    /** An instance tells what became of a relay. */
    receipt (receipt: 'taken' | 'nobody' | 'sent' | 'acknowledged' | 'held', begun: number): void {
      relayReceipt.observe({ receipt }, secondsSince(begun))
    }
  }
}

function secondsSince (begun: number): number {
  return (performance.now() - begun) / 1_000
}

/** When a message was published, in milliseconds since 1970: by RabbitMQ's clock where it sets the header, else by the publisher's. */
function publishTime ({ properties: { timestamp, headers } }: QueueMessage['message']): number | undefined {
  const exact: unknown = headers?.timestamp_in_ms
  if (typeof exact === 'number') return exact
  if (typeof timestamp !== 'number' || timestamp <= 0) return undefined
  return timestamp > MAX_SECONDS ? timestamp : timestamp * 1_000
}
