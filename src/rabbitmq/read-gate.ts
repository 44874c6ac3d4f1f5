import type { ChannelModel } from 'amqplib'
import { internals, type ConnectionInternals } from './amqplib-internals.js'
import type { UnsettledBytes } from './unsettled-bytes.js'

/**
 * How often a gate that is shut takes bytes off the socket, in milliseconds. RabbitMQ closes a connection on which a message
 * can't be sent within some seconds. Then messages come again, and their returns count.
 */
const BREATH = 500

/** From so many bytes on, a gate takes bytes only for the heartbeat: after two minutes, where much is sent. */
const MAX_TAKEN = 16 * 1024 * 1024

/**
 * Reads nothing from a connection while unsettled messages take too much memory. TCP then keeps the broker from sending:
 * nothing is lost, returned or out of order. `prefetch` alone would not do, as it counts messages of any size.
 *
 * While the gate is shut, what has arrived is taken off the socket now and then, without decoding it. It shows that the
 * broker lives, so that no heartbeat is missed, and the broker sees that this process does.
 */
export class ReadGate {
  readonly #connection: ConnectionInternals
  readonly #memory: UnsettledBytes
  /** What reads while the gate is open. */
  readonly #recvFrame: ConnectionInternals['recvFrame']
  #isWatching = true
  #breath: NodeJS.Timeout | undefined
  #opening: NodeJS.Immediate | undefined

  /** @param model a connection that only consumes: whatever else comes on it waits too */
  constructor (model: ChannelModel, memory: UnsettledBytes) {
    const connection = this.#connection = internals(model)
    this.#memory = memory
    const recvFrame = this.#recvFrame = connection.recvFrame
    connection.recvFrame = () => this.#isShut() ? this.#wait() : recvFrame.call(connection)
    connection.mayRead = () => !this.#isShut()
  }

  /** Lets everything through from now on. Ends before another gate of the connection begins. */
  end (): void {
    if (!this.#isWatching) return
    this.#isWatching = false
    this.#connection.recvFrame = this.#recvFrame
    this.#connection.mayRead = undefined
    if (this.#breath !== undefined) this.#open()
  }

  #isShut (): boolean {
    return this.#isWatching && this.#memory.isFull
  }

  #wait (): false {
    if (this.#breath === undefined) {
      this.#breath = setInterval(() => this.#breathe(), BREATH)
      this.#memory.whenRoom(() => this.#open())
    }
    return false
  }

  #breathe (): void {
    const connection = this.#connection
    if (connection.rest.length > MAX_TAKEN && connection.recvSinceLastCheck) return // the heartbeat resets it
    const chunk = connection.stream.read() as Buffer | null
    if (chunk === null) return
    connection.rest = Buffer.concat([connection.rest, chunk])
    connection.recvSinceLastCheck = true
  }

  /** In a turn of its own: not while somebody settles a message. */
  #open (): void {
    clearInterval(this.#breath)
    this.#breath = undefined
    this.#opening ??= setImmediate(() => {
      this.#opening = undefined
      this.#connection.stream.emit('readable') // amqplib reads on
    })
  }
}
