import type { Kind, Observer, Origin, Result } from '../../delivery/doors.js'
import { outcomeOf, type Multicast, type Summary } from '../../delivery/multicast.js'
import type { Notification } from '../../delivery/notification.js'
import type { PeerOutcome } from '../../delivery/peers.js'
import { QueueMessage } from '../../rabbitmq/queue-message.js'
import type { Histogram } from './prom-client.js'

/** Larger timestamps are in milliseconds, as some publishers use Date.now(). 1e11 milliseconds is the year 1973. */
const MAX_SECONDS = 1e11

/** Replaces `receivedAt` of a message that has been measured. */
const OBSERVED = -1

export interface TimeHistograms {
  readonly sinceConsumption: Histogram
  readonly sincePublish: Histogram
  readonly marker: Histogram
  readonly relayReceipt: Histogram
  readonly recipients: Histogram
}

/** Measures how long messages of the queue take, and relays to peers. */
export class Times implements Partial<Observer> {
  readonly #histograms: TimeHistograms

  constructor (histograms: TimeHistograms) {
    this.#histograms = histograms
  }

  received (origin: Origin): void {
    (origin as QueueMessage).receivedAt = performance.now()
  }

  ignored (origin: Origin): void {
    this.#observe(origin as QueueMessage, 'ignored')
  }

  rejected (origin: Origin): void {
    if (!origin.isShared || origin.isMoved) this.#observe(origin as QueueMessage, 'dead-lettered')
  }

  settled (_notification: Notification, origin: Origin | undefined, _kind: Kind, { outcome }: Result): void {
    if (origin instanceof QueueMessage && !origin.isShared) this.#observe(origin, outcome)
  }

  fannedOut ({ audience }: Multicast, origin: Origin, summary: Summary): void {
    const to = 'userIds' in audience ? 'users' : audience.group === undefined ? 'everybody' : 'group'
    this.#histograms.recipients.observe({ to }, summary.users)
    if (origin instanceof QueueMessage) this.#observe(origin, outcomeOf(summary))
  }

  /** A marker has come back. */
  marker (milliseconds: number): void {
    this.#histograms.marker.observe({}, milliseconds / 1_000)
  }

  /** A peer has sent a receipt for a relay. */
  receipt (receipt: 'taken' | 'nobody' | PeerOutcome, milliseconds: number): void {
    this.#histograms.relayReceipt.observe({ receipt }, milliseconds / 1_000)
  }

  #observe (arrived: QueueMessage, outcome: string): void {
    const { sinceConsumption, sincePublish } = this.#histograms
    const { message, queue, receivedAt } = arrived
    if (receivedAt === OBSERVED) return // a client may acknowledge a message after it was dead-lettered
    arrived.receivedAt = OBSERVED
    const labels = { queue, outcome }
    sinceConsumption.observe(labels, secondsSince(receivedAt))
    const published = publishTime(message)
    // The clocks of two machines may differ, so the result may be negative.
    if (published !== undefined) sincePublish.observe(labels, Math.max(0, (Date.now() - published) / 1_000))
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
