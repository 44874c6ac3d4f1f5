import type { Channel, ConsumeMessage } from 'amqplib'

export type Settlement = ReturnType<typeof createSettlement>

/**
 * How long the broker waits in vain for the oldest message before others are acked singly, in milliseconds. Clients
 * acknowledge nearly in order: mostly the oldest follows in a moment, and one ack, not one for each, is for all.
 */
const PATIENCE = 5

/**
 * Acks what one channel delivered, each message once, after its outcome is known.
 *
 * A delivery tag means something on its own channel alone (AMQP 0-9-1 §1.8.3.13): used on another, it acks some
 * other message in silence. So a settlement lives and dies with its channel.
 *
 * Acks go out once in a turn of the event loop, one for the longest settled prefix: an ack for each message costs
 * more processor time than the rest of the whole path.
 *
 * @param prefetch how many messages the broker delivers without an ack
 */
export function createSettlement (channel: Channel, prefetch: number) {
  /** The oldest unsettled tag. The tags of a channel are 1, 2, 3, … (AMQP 0-9-1 §1.1: delivery-tag). */
  let oldest = 1
  let newest = 0
  /** The newest tag of the settled prefix that needs an ack, and the newest that had one. */
  let due = 0
  let acked = 0
  let live = true
  let scheduled: NodeJS.Immediate | undefined
  let patience: NodeJS.Timeout | undefined
  /** Settled behind an unsettled one: to be acked with the prefix, and acked already, each by itself. */
  const ahead = new Set<number>()
  const ackedAhead = new Set<number>()
  let whenSettled: (() => void) | undefined

  /** Whether the broker waits for acks, some of which could be sent. */
  function isStalled (): boolean {
    return ahead.size > 0 && newest - oldest + 1 - ackedAhead.size >= prefetch
  }

  function flushSoon (): void {
    scheduled ??= setImmediate(() => flush(isStalled() && isMuchAhead()))
  }

  function isMuchAhead (): boolean {
    return 2 * ahead.size >= prefetch
  }

  /** Sees to single acks where the broker waits: at once for many, else when the oldest doesn't follow. */
  function watchStall (): void {
    if (!isStalled()) return
    if (isMuchAhead()) flushSoon()
    else patience ??= setTimeout(endPatience, PATIENCE, oldest)
  }

  function endPatience (stuck: number): void {
    patience = undefined
    if (oldest === stuck) flush(isStalled())
    else watchStall()
  }

  /** @param all whether to ack singly what is settled behind an unsettled one */
  function flush (all: boolean): void {
    clearImmediate(scheduled)
    scheduled = undefined
    if (!live) return
    try {
      if (due > acked) ack(acked = due, true)
      if (all) {
        for (const tag of ahead) {
          ack(tag, false)
          ackedAhead.add(tag)
        }
        ahead.clear()
      }
    } catch {
      // The channel is closing, and amqplib sends nothing more on it: the broker delivers the messages again.
      abandon()
    }
  }

  function ack (deliveryTag: number, multiple: boolean): void {
    channel.ack({ fields: { deliveryTag } } as ConsumeMessage, multiple)
  }

  function abandon (): void {
    live = false
    clearImmediate(scheduled)
    clearTimeout(patience)
    ahead.clear()
    ackedAhead.clear()
    whenSettled?.()
  }

  return {
    /** A message was delivered. */
    track ({ fields }: ConsumeMessage): void {
      newest = fields.deliveryTag
      watchStall()
    },

    /**
     * The outcome of a message is known.
     * @returns false if the channel died before: the broker delivers the message again
     */
    settle ({ fields: { deliveryTag } }: ConsumeMessage): boolean {
      if (!live) return false
      if (deliveryTag !== oldest) {
        ahead.add(deliveryTag)
        watchStall()
        return true
      }
      due = oldest++
      while (true) {
        // A tag that was acked must not be named again: the broker would close the channel.
        if (ahead.delete(oldest)) due = oldest
        else if (!ackedAhead.delete(oldest)) break
        oldest++
      }
      flushSoon()
      if (oldest > newest) whenSettled?.()
      return true
    },

    /** How many messages have no outcome yet. */
    get unsettled (): number {
      return live ? newest - oldest + 1 - ahead.size - ackedAhead.size : 0
    },

    /** Resolves when everything delivered is settled or the channel is dead. */
    async settled (): Promise<void> {
      if (live && oldest <= newest) await new Promise<void>(resolve => { whenSettled = resolve })
    },

    /** Sends every ack that can be sent, now. */
    flush: () => flush(true),

    /** The channel is dead: nothing of it is acked any more. */
    abandon
  }
}
