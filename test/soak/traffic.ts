import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, type ConfirmChannel } from 'amqplib'
import { WebSocket } from 'ws'
import { abuse, abuser } from './abuse.js'
import { Ledger } from './ledger.js'

const USERS = 50

/** Messages a second: most of the time goes to faults and their mending, not to speed. */
const RATE = 400
const TICK = 20 // ms

/** What has become of the messages so far. */
export interface Account {
  /** Confirmed by the broker. */
  confirmed: number
  /** Confirmed, and not yet seen: neither by its user nor in the dead-letter queue. */
  missing: number
  /** Seen again. */
  duplicates: number
  /** Seen by somebody they were not for. */
  strays: number
}

/** The id of what the abusers are sent, so that it piles up at those that read nothing. It is not counted. */
const BALLAST = 'ballast'

/** Publishers, clients, some of which mean harm, and a reader of the dead letters, that keep count of every message. */
export function createTraffic (amqpUrl: string, queue: string, port: number) {
  const publishing = new AbortController()
  const reading = new AbortController()
  const running: Array<Promise<void>> = []
  const seen = new Ledger()
  let missing: number[] = []
  let confirmed = 0
  let strays = 0
  let published = 0

  async function open (user: number): Promise<WebSocket> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/notification?userId=user-${user}`)
    socket.on('error', () => {})
    await once(socket, 'open')
    return socket
  }

  /** One connection of each user stays. */
  async function stay (user: number): Promise<void> {
    const socket = await open(user)
    socket.on('message', data => {
      const number = Number(data)
      if (number % USERS !== user) strays++
      seen.add(number)
    })
  }

  /** Others come and go beside it. */
  async function comeAndGo (): Promise<void> {
    for (let n = 0; !publishing.signal.aborted; n++) {
      const socket = await open(n % USERS)
      await delay(TICK)
      if (n % 2 === 0) socket.close()
      else socket.terminate()
    }
  }

  /** Uses a channel until told to stop, and another where it is lost. */
  async function withChannel (signal: AbortSignal, use: (channel: ConfirmChannel, inUse: () => boolean) => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      try {
        const connection = await connect(`${amqpUrl}?heartbeat=1`, { noDelay: true, timeout: 1_000 })
        let alive = true
        connection.on('error', () => {})
        connection.on('close', () => { alive = false })
        const channel = await connection.createConfirmChannel()
        channel.on('error', () => {})
        await use(channel, () => alive && !signal.aborted)
        await connection.close()
      } catch {
        await delay(TICK) // the broker is away
      }
    }
  }

  async function publish (channel: ConfirmChannel, inUse: () => boolean): Promise<void> {
    while (inUse()) {
      for (let n = 0; n < RATE * TICK / 1_000; n++) {
        const number = published++
        channel.sendToQueue(queue, body(number), { persistent: true, messageId: String(number) }, error => {
          if (error !== null) return // not confirmed, it may be lost
          confirmed++
          missing.push(number)
        })
      }
      channel.sendToQueue(queue, Buffer.from(JSON.stringify({ userId: abuser(published), content: 'x'.repeat(10_000) })), { messageId: BALLAST })
      await delay(TICK)
    }
    await channel.waitForConfirms()
  }

  /** One in twenty is for a user who never connects, one in fifty is invalid: both become dead letters. */
  function body (number: number): Buffer {
    if (number % 50 === 13) return Buffer.from(`${number} is no message`)
    return Buffer.from(JSON.stringify({ userId: number % 20 === 7 ? 'nobody' : `user-${number % USERS}`, content: number }))
  }

  async function readDeadLetters (channel: ConfirmChannel, inUse: () => boolean): Promise<void> {
    await channel.consume(`${queue}.dead`, message => {
      if (message === null) return
      if (message.properties.messageId !== BALLAST) seen.add(Number(message.properties.messageId))
      channel.ack(message)
    })
    while (inUse()) await delay(TICK)
  }

  return {
    async start (): Promise<void> {
      for (let user = 0; user < USERS; user++) await stay(user)
      running.push(comeAndGo(), abuse(port, publishing.signal), withChannel(publishing.signal, publish), withChannel(reading.signal, readDeadLetters))
    },

    account (): Account {
      missing = missing.filter(number => !seen.has(number))
      return { confirmed, missing: missing.length, duplicates: seen.duplicates, strays }
    },

    /** Publishes no more, and waits until everything has been seen, at most for a time in milliseconds. */
    async finish (timeout: number): Promise<Account> {
      publishing.abort()
      for (const deadline = Date.now() + timeout; this.account().missing > 0 && Date.now() < deadline;) await delay(TICK)
      reading.abort()
      await Promise.all(running)
      return this.account()
    }
  }
}
