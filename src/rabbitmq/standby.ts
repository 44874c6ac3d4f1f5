import type { FastifyBaseLogger } from 'fastify'

/** The interval at which a consumer on standby checks whether it is the only one, in milliseconds. */
const CHECK_INTERVAL = 5_000

/**
 * Knows whether a consumer is on standby: the queue has a single active consumer, and another consumer is the active one.
 * The broker doesn't report that, or a change of it. So a consumer that was not the first is on standby until a message is
 * delivered to it, or until no other consumer is there.
 */
export class Standby {
  private timer: NodeJS.Timeout | undefined
  private isChecking = false

  /** @param changed called when the consumer goes on standby, or becomes active */
  constructor (private readonly queue: string, private readonly log: FastifyBaseLogger, private readonly changed: () => void) {}

  get isOn (): boolean {
    return this.timer !== undefined
  }

  /**
   * Another consumer is the active one.
   * @param isAlone finds out whether there is no other consumer
   */
  begin (isAlone: () => Promise<boolean>): void {
    this.end()
    this.timer = setInterval(() => { void this.#check(isAlone) }, CHECK_INTERVAL)
    this.changed()
    this.log.info({ queue: this.queue }, 'consumer on standby')
  }

  /** This consumer is the active one. */
  activate (): void {
    if (this.timer === undefined) return
    this.end()
    this.changed()
    this.log.info({ queue: this.queue }, 'consumer active')
  }

  /** The consumer has ended. */
  end (): void {
    clearInterval(this.timer)
    this.timer = undefined
  }

  async #check (isAlone: () => Promise<boolean>): Promise<void> {
    if (this.isChecking) return
    this.isChecking = true
    const { timer } = this
    const alone = await isAlone().catch(() => false) // the channel is dead, which ends this standby
    this.isChecking = false
    if (this.timer === undefined || this.timer !== timer) return
    if (alone) this.activate()
    else this.log.debug({ queue: this.queue }, 'consumer still on standby')
  }
}
