import { setTimeout as delay } from 'node:timers/promises'
import { NotificationClient, type ReceivedNotification } from '../../src/client/index.js'
import type { Random } from './random.js'
import { Handled, type Sightings } from './sightings.js'
import { UnsteadySocket, type SocketWatch } from './unsteady-socket.js'

/** Milliseconds: how long one stays on, is gone or silent, and takes to handle a notification, at most. */
const STAY = 4_000
const ABSENCE = 2_500
const HANDLING = 20

/** One in so many notifications is not handled at the first attempt. */
const FAILURE = 200

export interface WandererOptions {
  user: number
  /** Of the next connection. */
  url (): string
  random: Random
  sightings: Sightings
  /** Counts what happens, by its name. */
  count (event: string): void
  /** Is told what must not happen. */
  onProblem (problem: string): void
}

/** A user whose client drops, falls silent and comes back, at random. */
export interface Wanderer {
  /** Comes back for good; resolves when it is on the way. */
  settle (): Promise<void>
  close (): Promise<void>
}

export function startWanderer ({ user, url, random, sightings, count, onProblem }: WandererOptions): Wanderer {
  const settling = new AbortController()
  const handling = random.fork()
  const watch: SocketWatch = {
    opened: opened => { socket = opened },
    received (text) {
      const { type, content, redelivered = false } = JSON.parse(text)
      if (type === 'notification') sightings.arrived(user, content, redelivered)
    },
    ended (from, code) {
      sightings.disconnected(user, { from, to: Date.now() })
      if (code !== undefined) count(`closed with ${code}`)
    }
  }
  class WebSocket extends UnsteadySocket {
    constructor (url: string, protocols: string[]) { super(url, protocols, watch) }
  }
  let socket: UnsteadySocket | undefined
  let absence = Promise.resolve()
  let client = open()

  /** A client that knows nothing yet: a page that has been loaded. */
  function open (): NotificationClient<number> {
    const handled = new Handled()
    const client = new NotificationClient<number>(async () => {
      await absence
      return url()
    }, {
      WebSocket,
      connectTimeout: 3_000,
      reconnect: { initialDelay: 50, maxDelay: 800 },
      onNotification: notification => handle(notification, handled)
    })
    client.addEventListener('error', ({ code, message }) => {
      if (code !== 'handler-failed') onProblem(`user ${user}: ${code}: ${message}`)
    })
    client.addEventListener('ended', ({ code }) => { if (code !== 1000) onProblem(`user ${user} ended with ${code}`) })
    return client
  }

  async function handle ({ content: number, redelivered }: ReceivedNotification<number>, handled: Handled): Promise<void> {
    sightings.begin(user, number, redelivered, handled)
    const time = handling.between(-HANDLING, HANDLING)
    const isFailing = handling.between(1, FAILURE) === 1 && !settling.signal.aborted
    if (time > 0) await delay(time)
    sightings.end(number, handled, !isFailing)
    if (!isFailing) return
    count('not handled')
    throw new Error('not handled')
  }

  async function pause (from: number, to: number): Promise<void> {
    const time = random.between(from, to)
    await delay(time, undefined, { signal: settling.signal }).catch(() => {})
  }

  /** What may happen to one who is connected. */
  const mishaps: Record<string, (socket: UnsteadySocket) => Promise<unknown>> = {
    async closed () {
      await client.close()
      await pause(0, ABSENCE)
      client.connect()
    },
    async reloaded () {
      await client.close()
      await pause(0, ABSENCE)
      client = open()
    },
    async cut (socket) {
      absence = pause(0, ABSENCE)
      socket.cut()
      await absence
    },
    async silent (socket) {
      socket.fallSilent()
      await pause(100, ABSENCE)
      socket.wake()
    },
    async 'silent, then cut' (socket) {
      socket.fallSilent()
      await pause(100, ABSENCE)
      socket.cut()
    },
    async vanished (socket) {
      socket.vanish()
      await pause(100, ABSENCE)
      socket.cut()
    }
  }

  async function wander (): Promise<void> {
    while (true) {
      await pause(0, STAY)
      if (settling.signal.aborted) return
      const name = random.oneOf(Object.keys(mishaps))
      if (socket?.isOpen !== true) continue
      count(name)
      await mishaps[name]!(socket)
    }
  }

  const wandering = wander()
  return {
    async settle () {
      settling.abort()
      await wandering
    },
    async close () {
      settling.abort()
      await wandering
      await client.close()
    }
  }
}
