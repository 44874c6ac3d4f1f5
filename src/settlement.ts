import type { Channel, ConsumeMessage } from 'amqplib'

export type Settlement = ReturnType<typeof createSettlement>

/**
 * Acks what one channel delivered, each message once, after its outcome is known.
 *
 * A delivery tag means something on its own channel alone (AMQP 0-9-1 §1.8.3.13): used on another, it acks some
 * other message in silence. So a settlement lives and dies with its channel.
 *
 * Acks go out once in a turn of the event loop, one for the longest settled prefix: an ack for each message costs
 * more processor time than the rest of the whole path.
 */
export function createSettlement (channel: Channel) {
  /** The oldest unsettled tag. The tags of a channel are 1, 2, 3, … (AMQP 0-9-1 §1.1: delivery-tag). */
  let oldest = 1
  let newest = 0
  let acked = 0
  let live = true
  let scheduled: NodeJS.Immediate | undefined
  /** Settled, but behind an unsettled one. */
  const ahead = new Set<number>()
  let whenSettled: (() => void) | undefined

  function flush (): void {
    scheduled = undefined
    if (!live || acked === oldest - 1) return
    acked = oldest - 1
    channel.ack({ fields: { deliveryTag: acked } } as ConsumeMessage, true)
  }

  return {
    /** A message was delivered. */
    track ({ fields }: ConsumeMessage): void {
      newest = fields.deliveryTag
    },

    /**
     * The outcome of a message is known.
     * @returns false if the channel died before: the broker delivers the message again
     */
    settle ({ fields: { deliveryTag } }: ConsumeMessage): boolean {
      if (!live) return false
      if (deliveryTag !== oldest) {
        ahead.add(deliveryTag)
        return true
      }
      do oldest++; while (ahead.delete(oldest))
      scheduled ??= setImmediate(flush)
      if (oldest > newest) whenSettled?.()
      return true
    },

    /** How many messages have no outcome yet. */
    get unsettled (): number {
      return live ? newest - oldest + 1 - ahead.size : 0
    },

    /** Resolves, with the acks sent, when everything delivered is settled or the channel is dead. */
    async settled (): Promise<void> {
      if (live && oldest <= newest) await new Promise<void>(resolve => { whenSettled = resolve })
      clearImmediate(scheduled)
      flush()
    },

    /** The channel is dead: nothing of it is acked any more. */
    abandon (): void {
      live = false
      clearImmediate(scheduled)
      ahead.clear()
      whenSettled?.()
    }
  }
}
