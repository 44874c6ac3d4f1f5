import type { Origin } from '../delivery/doors.js'
import { Tally, type Connected, type Summary } from '../delivery/multicast.js'
import type { Payload } from '../delivery/payload.js'
import type { MulticastElsewhere } from '../delivery/peers.js'
import { MAX_BODY_BYTES, type MulticastItem, type StopItem } from './frames.js'
import type { Peer } from './peer.js'

/** How much longer a text can become: JSON writes a control character as six, and a quote of JSON in JSON as two. */
const MAX_GROWTH = 12

/** One peer is asked to deliver a multicast to its connections. */
export interface MulticastAsk {
  readonly peer: Peer
  /** `confirmed`: the broker has put it into the peer's inbox. */
  state: 'queued' | 'published' | 'confirmed'
  /** When to publish it again if the peer has not answered. */
  deadline: number
}

/** A multicast on its way to the peers. */
export class OutgoingMulticast implements MulticastElsewhere {
  /** The peers that have not answered, by instance. */
  readonly asks = new Map<string, MulticastAsk>()
  /** The instances that were asked, those that have answered too. */
  readonly asked = new Set<string>()
  readonly tally = new Tally()
  /** In milliseconds since 1970. */
  readonly takenAt = Date.now()
  /** Whether everything that was announced before it was taken is known here. */
  isChecked = false
  /** Ends the wait for the marker that is to show it. */
  forgetMarker = (): void => {}
  readonly result: Promise<Summary>
  resolve!: (summary: Summary) => void
  reject!: (error: unknown) => void
  #waitsUntil: number

  constructor (
    readonly id: number,
    readonly audience: Connected,
    readonly payload: Payload,
    readonly origin: Origin,
    /** How long it may wait until the peers are known and the broker has it for them, in milliseconds. */
    private readonly patience: number,
    /** When it was taken, as the other times here. */
    private readonly begunAt: number,
    /** Tells a peer to wait no more for its clients. */
    private readonly tell: (instance: string, stop: StopItem) => void
  ) {
    this.#waitsUntil = begunAt + patience
    this.result = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }))
  }

  get isWithPeers (): boolean {
    return [...this.asks.values()].some(({ state }) => state === 'confirmed')
  }

  stop (): void {
    for (const [instance, { state }] of this.asks) if (state === 'confirmed') this.tell(instance, [this.id, 'stop'])
  }

  /** It begins to wait for the broker, unless it does so already: for a marker, or for the confirm of a publish. */
  waitForBroker (now: number): void {
    if (!this.#isWaitingForBroker) this.#waitsUntil = now + this.patience
  }

  /** Whether it has waited too long for the broker. A wait for the answers of peers has no end: clients may take long to acknowledge. */
  isOverdue (now: number): boolean {
    return this.#isWaitingForBroker && this.#waitsUntil < now
  }

  get #isWaitingForBroker (): boolean {
    return !this.isChecked || [...this.asks.values()].some(({ state }) => state !== 'confirmed')
  }

  get isGone (): boolean {
    return this.origin.gone?.aborted === true || this.origin.isMoved
  }

  /** Whether the broker could refuse it. Contents are hardly ever that large, so most are not encoded for this. */
  get isTooLarge (): boolean {
    const { payload: { text, json }, audience: { except } } = this
    const others = 1_024 + [...except].reduce((bytes, userId) => bytes + Buffer.byteLength(JSON.stringify(userId)) + 1, 0)
    return text.length * MAX_GROWTH + others > MAX_BODY_BYTES && Buffer.byteLength(JSON.stringify(json)) + others > MAX_BODY_BYTES
  }

  /**
   * The item of a frame, as JSON.
   * @param forgottenAfter when a peer may have forgotten that it has delivered it, in milliseconds
   */
  encode (now: number, forgottenAfter: number): string {
    const { id: relay, payload: { id, json }, audience: { group, except } } = this
    const redelivered = this.origin.redelivered || now - this.begunAt >= forgottenAfter
    const item: MulticastItem = { relay, id, json }
    if (group !== undefined) item.group = group
    if (except.size > 0) item.except = [...except]
    if (redelivered) item.redelivered = true
    return JSON.stringify(item)
  }
}
