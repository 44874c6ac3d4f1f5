import { setTimeout as delay } from 'node:timers/promises'
import { connect, type ConfirmChannel } from 'amqplib'
import type { Test } from 'tap'
import { connectClient, type TestClient } from './client.js'
import { eventually } from './eventually.js'
import { createRandom } from './random.js'

/** Publishes that wait for their confirm, at most: enough to be in mid-stream at any time. */
const WINDOW = 50

export interface LoadOptions {
  /** The broker, not through a proxy. */
  url: string
  queue: string
  /** Where a user's client connects. */
  notifications (userId: string): string
  users: number
  /** How many messages to have confirmed, at least. */
  count: number
  /** What happens meanwhile, one after the other, at random points of the stream. */
  faults?: Array<() => unknown>
}

export interface LoadResult {
  /** How many messages the broker confirmed. */
  confirmed: number
  /** Confirmed, and never seen by their user. */
  lost: number[]
  /** Seen by somebody they were not for, or never published. */
  strays: string[]
  /** Seen again. */
  duplicates: number
  /** Seen for the first time after a later one of the same user. */
  late: number
}

/**
 * Publishes numbered persistent messages to many users while faults strike, until all that were confirmed have
 * arrived, and tells what arrived.
 */
export async function runLoad (t: Test, { url, queue, notifications, users, count, faults = [] }: LoadOptions): Promise<LoadResult> {
  const random = createRandom(t)
  const clients = await Promise.all(Array.from({ length: users }, (_, user) => connectClient(t, notifications(`user-${user}`))))
  const publisher = startPublisher(url, queue, users)
  t.teardown(() => publisher.stop())

  const strikes = faults.map(() => random.between(Math.floor(count * 0.1), Math.floor(count * 0.9))).sort((a, b) => a - b)
  for (const [n, fault] of faults.entries()) {
    await eventually(() => publisher.confirmed.size >= strikes[n]!, `${strikes[n]} messages confirmed`)
    await fault()
  }
  await eventually(() => publisher.confirmed.size >= count, `${count} messages confirmed`)
  await publisher.stop()
  await eventually(() => lost(publisher.confirmed, clients).length === 0, 'all that was confirmed has arrived')
    .catch(() => {}) // the test tells what was lost
  return tally(publisher.confirmed, publisher.published, clients)
}

interface Publisher {
  readonly confirmed: Set<number>
  readonly published: number
  stop (): Promise<void>
}

/** Publishes without a pause; with a new connection where it loses one. What was not confirmed is not tried again. */
function startPublisher (url: string, queue: string, users: number): Publisher {
  const confirmed = new Set<number>()
  let published = 0
  const control = { stopped: false }

  async function publish (channel: ConfirmChannel): Promise<void> {
    const state = { alive: true }
    let inFlight = 0
    channel.on('close', () => { state.alive = false })
    channel.on('error', () => {})
    while (state.alive && !control.stopped) {
      if (inFlight >= WINDOW) {
        await delay(1)
        continue
      }
      const number = published++
      const body = JSON.stringify({ userId: `user-${number % users}`, content: number })
      inFlight++
      channel.sendToQueue(queue, Buffer.from(body), { persistent: true }, error => {
        inFlight--
        if (error === null) confirmed.add(number)
      })
      if (inFlight % 10 === 0) await delay(1)
    }
    if (state.alive) await channel.waitForConfirms()
  }

  async function run (): Promise<void> {
    while (!control.stopped) {
      try {
        const connection = await connect(`${url}?heartbeat=1`, { noDelay: true, timeout: 1_000 })
        connection.on('error', () => {})
        await publish(await connection.createConfirmChannel())
        await connection.close()
      } catch {
        await delay(20) // the broker is away
      }
    }
  }

  const running = run()
  return {
    confirmed,
    get published () { return published },
    async stop () {
      control.stopped = true
      await running
    }
  }
}

function lost (confirmed: Set<number>, clients: TestClient[]): number[] {
  const seen = new Set(clients.flatMap(({ messages }) => messages).map(Number))
  return [...confirmed].filter(number => !seen.has(number))
}

function tally (confirmed: Set<number>, published: number, clients: TestClient[]): LoadResult {
  const strays: string[] = []
  let duplicates = 0
  let late = 0
  for (const [user, { messages }] of clients.entries()) {
    const seen = new Set<number>()
    let latest = -1
    for (const message of messages) {
      const number = Number(message)
      if (!(number < published) || number % clients.length !== user) strays.push(`${message} at user ${user}`)
      else if (seen.has(number)) duplicates++
      else if (number < latest) late++
      seen.add(number)
      latest = Math.max(latest, number)
    }
  }
  return { confirmed: confirmed.size, lost: lost(confirmed, clients), strays, duplicates, late }
}

/**
 * Asserts the promise: nothing confirmed is lost, nobody sees another's, and what is repeated or late was unsettled when a fault struck.
 * @param repeated how many messages the broker delivered again, where it forgot some acks
 */
export function checkLoad (t: Test, { confirmed, lost, strays, duplicates, late }: LoadResult, unsettled: number, repeated = unsettled): void {
  t.comment(`${confirmed} confirmed, ${lost.length} lost, ${duplicates} twice, ${late} late`)
  t.same(lost, [], 'nothing that was confirmed is lost')
  t.same(strays, [], "nobody sees another's message")
  t.ok(duplicates <= repeated, `${duplicates} duplicates of at most ${repeated} messages that were delivered again`)
  t.ok(late <= unsettled, `${late} out of order, of at most ${unsettled} that were delivered again`)
}
