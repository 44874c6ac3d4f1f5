import type { Channel, ChannelModel } from 'amqplib'

/** How often to publish, in milliseconds. */
const INTERVAL = 2_000

/** No queue has an empty name. */
const NOBODY = ''

/**
 * Learns of an alarm of the broker before something has to be published. RabbitMQ tells of a memory or disk alarm only
 * when a connection publishes during it (seen with 3.10). So this publishes an empty message every now and then, to a
 * queue that no broker has. It uses a channel of its own: a broker that refuses the permission to publish closes it.
 */
export class AlarmProbe {
  readonly #isBlocked: () => boolean
  #watched: ChannelModel | undefined

  /** @param isBlocked whether the broker has told of an alarm: then nothing is published until it is over */
  constructor (isBlocked: () => boolean) {
    this.#isBlocked = isBlocked
  }

  /** Watches a connection until it ends. */
  async watch (model: ChannelModel): Promise<void> {
    if (this.#watched === model) return
    this.#watched = model
    const channel = await model.createChannel()
    const timer = setInterval(() => this.#publish(channel, timer), INTERVAL)
    channel.on('error', () => {}) // without the permission, an alarm is noticed only by a publish that waits
    channel.once('close', () => clearInterval(timer))
    this.#publish(channel, timer)
  }

  #publish (channel: Channel, timer: NodeJS.Timeout): void {
    if (this.#isBlocked()) return
    try {
      channel.publish('', NOBODY, Buffer.alloc(0))
    } catch {
      // The channel is closing. Or it was closed before anybody listened: one packet may bring its opening and the end of the connection.
      clearInterval(timer)
    }
  }
}
