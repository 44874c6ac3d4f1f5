import type { Test } from 'tap'
import { WebSocket } from 'ws'
import type { NotificationClient } from '../../src/client/index.js'
import { createClient } from './notification-client.js'
import type { Random } from './random.js'
import type { RestartableApp } from './restartable-app.js'

/** Users whose clients stay until their instance ends, then connect to whichever of them is there. */
export interface Roamers {
  /** The numbers that a handler was given, by user, in order. */
  readonly handled: readonly number[][]
  /** How many notifications were sent again. */
  readonly again: number
  /** Of those, how many without a word of it. */
  readonly unmarked: number
  /** Those below `count` that their user was not given, and those that a user was given again or that were not theirs. */
  problems (count: number): { missing: number[], wrong: string[] }
  close (): Promise<unknown>
}

/**
 * Starts them; the notification with the number n is for the user n modulo `users`.
 * @param instances to which they connect
 */
export async function startRoamers (t: Test, users: number, instances: readonly RestartableApp[], random: Random): Promise<Roamers> {
  const handled: number[][] = Array.from({ length: users }, () => [])
  const arrived = new Set<number>()
  let again = 0
  let unmarked = 0

  class Watched extends WebSocket {
    constructor (url: string, protocols: string[]) {
      super(url, protocols)
      this.on('message', (data: Buffer) => {
        const { type, content, redelivered = false } = JSON.parse(data.toString())
        if (type !== 'notification') return
        if (arrived.has(content)) again++
        if (arrived.has(content) && redelivered === false) unmarked++
        arrived.add(content)
      })
    }
  }

  const clients = handled.map((numbers, user) => createClient(t, () => random.oneOf(instances).notifications(`user-${user}`), {
    WebSocket: Watched,
    connectTimeout: 2_000,
    reconnect: { initialDelay: 20, maxDelay: 100 },
    onNotification: ({ content }) => { numbers.push(content as number) }
  }))
  await Promise.all(clients.map(client => new Promise(resolve => client.addEventListener('open', resolve, { once: true }))))

  return {
    handled,
    get again () { return again },
    get unmarked () { return unmarked },
    problems (count) {
      const seen = new Set(handled.flat())
      return {
        missing: Array.from({ length: count }, (_, n) => n).filter(n => !seen.has(n)),
        wrong: handled.flatMap((numbers, user) => numbers.filter((n, at) => n % users !== user || numbers.indexOf(n) !== at).map(n => `${n} at user ${user}`))
      }
    },
    close: async () => await Promise.all(clients.map((client: NotificationClient) => client.close()))
  }
}
