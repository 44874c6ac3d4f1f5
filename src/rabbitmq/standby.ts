import type { FastifyBaseLogger } from 'fastify'

/** How often a consumer on standby looks whether it is the only one, in milliseconds. */
const LOOK_INTERVAL = 5_000

/**
 * Whether a consumer is on standby: the queue has a single active consumer, which is another one. The broker never says
 * so, nor when that changes. So a consumer is on standby that was not the first, until something is delivered to it, or
 * until no other one is there.
 */
export class Standby {
  private timer: NodeJS.Timeout | undefined
  private isLooking = false
  private changedAt = new Date()

  constructor (private readonly queue: string, private readonly log: FastifyBaseLogger) {}

  get isOn (): boolean {
    return this.timer !== undefined
  }

  /** When that last changed. */
  get since (): Date {
    return this.changedAt
  }

  /**
   * Another consumer is the active one.
   * @param isAlone finds out whether that has changed: whether there is no other consumer
   */
  begin (isAlone: () => Promise<boolean>): void {
    this.end()
    this.timer = setInterval(() => { this.look(isAlone) }, LOOK_INTERVAL)
    this.changedAt = new Date()
    this.log.info({ queue: this.queue }, 'consumer on standby')
  }

  /** This one is the active consumer. */
  activate (): void {
    if (this.timer === undefined) return
    this.end()
    this.changedAt = new Date()
    this.log.info({ queue: this.queue }, 'consumer active')
  }

  /** The consumer has ended. */
  end (): void {
    clearInterval(this.timer)
    this.timer = undefined
  }

  private async look (isAlone: () => Promise<boolean>): Promise<void> {
    if (this.isLooking) return
    this.isLooking = true
    const { timer } = this
    const alone = await isAlone().catch(() => false) // the channel has ended, and with it this standby
    this.isLooking = false
    if (this.timer === undefined || this.timer !== timer) return
    if (alone) this.activate()
    else this.log.debug({ queue: this.queue }, 'consumer still on standby')
  }
}
