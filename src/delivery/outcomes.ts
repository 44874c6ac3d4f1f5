import type { AckWindow } from './ack-window.js'
import type { Delivery } from './delivery.js'
import type { Observer, Outcome } from './doors.js'
import type { Mailboxes } from './mailbox.js'
import type { Peers } from './peers.js'

/** Ends deliveries: whoever waits for one is told, the mailbox forgets it, and so do the peers. */
export class Outcomes {
  /** With `cluster: true`. */
  peers: Peers | undefined
  readonly #mailboxes: Mailboxes
  readonly #window: AckWindow | undefined
  readonly #observer: Observer

  /** @param window where clients acknowledge */
  constructor (mailboxes: Mailboxes, window: AckWindow | undefined, observer: Observer) {
    this.#mailboxes = mailboxes
    this.#window = window
    this.#observer = observer
  }

  /** The outcome of a delivery is known. */
  settle (delivery: Delivery, outcome: Outcome): void {
    delivery.settle(outcome)
    this.settleGuests(delivery, outcome)
    this.forget(delivery)
    this.#observer.settled(delivery.notification, delivery.origin, delivery.kind, { outcome, connections: delivery.connections }, delivery.circumstance)
    this.peers?.settled(delivery, outcome)
  }

  /** Tells peers that wait for a delivery here. */
  settleGuests (delivery: Delivery, outcome: Outcome): void {
    const { guests, connections, circumstance } = delivery
    if (guests === undefined) return
    delivery.guests = undefined
    // Dead-lettered for another reason, it had no connection here. Other peers may have the user.
    const isRefused = outcome === 'dead-lettered' && circumstance !== 'rejected'
    for (const guest of guests) {
      guest.connections = connections
      guest.isOverdue = delivery.isOverdue && (isRefused || outcome === 'offline')
      guest.settle(isRefused ? 'offline' : outcome)
    }
  }

  /** A delivery has failed: its caller is told, and nobody takes it over. */
  fail (delivery: Delivery, error: unknown): void {
    this.#end(delivery, error)
    this.#observer.failed(delivery.notification, delivery.origin, error)
  }

  /** The source of a delivery hands it over again: callers that have joined it call `deliver` again. */
  abandon (delivery: Delivery): void {
    const { notification, origin } = delivery
    this.#end(delivery, origin!.gone?.reason ?? new DOMException('moved to the dead-letter queue', 'AbortError'))
    // Whoever moves a message tells the observers.
    if (!origin!.isMoved) this.#observer.abandoned(notification, origin)
  }

  #end (delivery: Delivery, error: unknown): void {
    this.settleGuests(delivery, 'offline') // their instances decide
    delivery.letGo()
    delivery.fail(error)
    this.forget(delivery)
    this.peers?.failed(delivery)
  }

  /** Takes a delivery out of its user's mailbox. */
  forget (delivery: Delivery): void {
    this.#window?.delete(delivery)
    const mailbox = this.#mailboxes.get(delivery.userId)
    if (mailbox === undefined) return
    mailbox.remove(delivery)
    this.#mailboxes.prune(mailbox)
  }
}
