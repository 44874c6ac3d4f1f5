import { fork } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { setTimeout as delay } from 'node:timers/promises'
import { FRAME_VERSION } from '../src/cluster/frames.js'
import type { Entrant } from './entrant.js'
import type { Measured } from './results.js'
import { quantile } from './statistics.js'
import { flood, pace, publish } from './traffic.js'
import type { Bench } from './workloads.js'

/** What is done to each in a round. */
export type Measure = (entrant: Entrant) => Promise<Measured>

const MESSAGES = 40_000
const PACED_SECONDS = 4
const FAN_OUTS = 10
const HELD_PER_USER = 20
/** Announcements of another instance, and users in each. */
const PARTS = 10
const USERS_PER_PART = 5_000
const IDLE_SECONDS = 10

export async function flooded ({ server, traffic }: Entrant): Promise<Measured> {
  const cpu = await server.cpu()
  const begin = performance.now()
  await flood(traffic, MESSAGES)
  const seconds = (performance.now() - begin) / 1_000
  return { cpu: (await server.cpu() - cpu) / MESSAGES, rate: MESSAGES / seconds }
}

/**
 * The same rate for everybody.
 * @param part of what the slowest reached
 */
export function paced ({ results }: Bench, part: number): Measure {
  return async ({ server, traffic, ledger }) => {
    const reached = results.rows().filter(({ workload }) => workload === 'many users').map(({ quantities }) => quantities.rate!.median)
    const rate = Math.min(...reached) * part
    const latencies = ledger.measureLatency()
    const cpu = await server.cpu()
    await pace(traffic, rate, PACED_SECONDS)
    const sorted = latencies.sort((a, b) => a - b)
    return { cpu: (await server.cpu() - cpu) / sorted.length, rate, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) }
  }
}

export async function stormed (entrant: Entrant, connections: number): Promise<Measured> {
  const { server } = entrant
  const memory = await server.memory()
  const cpu = await server.cpu()
  const begin = performance.now()
  await entrant.connect()
  const seconds = (performance.now() - begin) / 1_000
  const upgradeCpu = (await server.cpu() - cpu) / connections
  return { upgrades: connections / seconds, upgradeCpu, memory: (await server.memory() - memory) / connections }
}

/** All connect at once, until each is welcomed; then each is reached. */
export async function welcomed ({ server, traffic, connect }: Entrant): Promise<Measured> {
  const users = traffic.userIds.length
  const cpu = await server.cpu()
  const begin = performance.now()
  await connect()
  const seconds = (performance.now() - begin) / 1_000
  const upgradeCpu = (await server.cpu() - cpu) / users
  await flood(traffic, users)
  return { binds: users / seconds, upgradeCpu }
}

/** The broker closes all connections of the instance that has the users, until the other one knows them again; then each is reached. */
export function reconnected ({ ctl }: Bench): Measure {
  return async ({ server, traffic, connect }) => {
    const close = `[rabbit_networking:close_connection(Pid, "bench") ||
      [{pid, Pid}, {client_properties, Properties}] <- rabbit_networking:connection_info_all([pid, client_properties]),
      {<<"connection_name">>, _, Name} <- Properties, binary:match(Name, <<"process ${server.pids[0]}">>) =/= nomatch]`
    await connect()
    const again = fetch(`${server.url}/again`, { signal: AbortSignal.timeout(60_000) })
    const [response] = await Promise.all([again, ctl('eval', `${close}.`)])
    if (!response.ok) throw new Error(`/again: ${response.status}`)
    const { seconds } = await response.json() as { seconds: number }
    await flood(traffic, traffic.userIds.length)
    return { rebound: seconds }
  }
}

/** Another instance, which is made up here, announces many users. */
export async function remembered ({ server, traffic: { channel, queues: [queue] } }: Entrant): Promise<Measured> {
  const before = await server.heap()
  const { queue: inbox } = await channel.assertQueue('', { exclusive: true })
  await channel.bindQueue(inbox, `${queue}.relay`, inbox) // else it would count as gone
  for (let part = 1; part <= PARTS; part++) {
    const here = Array.from({ length: USERS_PER_PART }, (_, user) => part === PARTS && user === USERS_PER_PART - 1 ? `user-${PARTS * USERS_PER_PART - 1}` : randomUUID())
    const frame = { v: FRAME_VERSION, from: 'bench', inbox, term: 1, seq: part, kind: 'presence', body: { here, gone: [], more: PARTS - part } }
    channel.publish(`${queue}.relay`, '', Buffer.from(JSON.stringify(frame)), { userId: 'guest' })
  }
  await (await fetch(`${server.url}/peer-users/${PARTS * USERS_PER_PART}`)).arrayBuffer()
  const peerUser = (await server.heap() - before) / (PARTS * USERS_PER_PART)
  await channel.deleteQueue(inbox)
  return { peerUser }
}

/** Published while nobody is connected, then everybody connects. */
export async function heldAndReleased ({ server, traffic, ledger, connect }: Entrant): Promise<Measured> {
  const count = HELD_PER_USER * traffic.userIds.length
  async function measure (act: () => Promise<unknown>): Promise<{ rate: number, cpu: number }> {
    const cpu = await server.cpu()
    const begin = performance.now()
    await act()
    const rate = count / (performance.now() - begin) * 1_000
    return { rate, cpu: (await server.cpu() - cpu) / count }
  }
  const held = await measure(async () => {
    await publish(traffic, count)
    await (await fetch(`${server.url}/held/${count}`)).arrayBuffer()
  })
  const released = await measure(async () => {
    const arrived = ledger.arrival(count)
    await connect()
    await arrived
  })
  return { heldRate: held.rate, heldCpu: held.cpu, releasedRate: released.rate, releasedCpu: released.cpu }
}

/** @param connections how many are open */
export async function idled ({ server }: Entrant, connections: number): Promise<Measured> {
  const cpu = await server.cpu()
  await delay(IDLE_SECONDS * 1_000)
  return { idleCpu: (await server.cpu() - cpu) / connections * 60 / IDLE_SECONDS }
}

/** More connections than one process may open, each from one of several client processes, then nothing but heartbeats. */
export function crowded (connections: number): Measure {
  return async entrant => {
    const { server } = entrant
    const memory = await server.memory()
    const share = connections / server.urls.length
    const clients = server.urls.map((url, n) => fork(fileURLToPath(new URL('idle-clients.ts', import.meta.url)), [url, String(n * share), String(share)]))
    try {
      await Promise.all(clients.map(async client => {
        const [answer] = await Promise.race([once(client, 'message'), once(client, 'exit')])
        if (answer !== 'connected') throw new Error(`the clients have ended: ${answer}`)
      }))
      return { memory: (await server.memory() - memory) / connections, ...await idled(entrant, connections) }
    } finally {
      await Promise.all(clients.map(async client => {
        const ended = once(client, 'exit')
        if (client.connected) client.disconnect()
        if (client.exitCode === null) await ended
      }))
    }
  }
}

/** Asks a contender's own route. */
function request (path: string): FanOut {
  return async ({ server }, content) => {
    const response = await fetch(server.url + path, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: content })
    if (!response.ok) throw new Error(`${path}: ${response.status}`)
    await response.arrayBuffer()
  }
}

/** Publishes a message. */
function publishTo (recipients: object): FanOut {
  return async ({ traffic: { channel, queues: [queue] } }, content) => {
    channel.publish('', queue!, Buffer.from(JSON.stringify({ ...recipients, content })), { persistent: true })
  }
}

/** Sends one content to all users. */
type FanOut = (entrant: Entrant, content: string) => Promise<void>

export const fanOuts = {
  broadcast: request('/broadcast'),
  'notify-many': request('/notify-many'),
  'notify-group': request('/notify-group'),
  everybody: publishTo({ everybody: true }),
  group: publishTo({ group: 'all' })
}

export async function fannedOut (entrant: Entrant, fanOut: FanOut): Promise<Measured> {
  const { server, ledger, traffic: { userIds, length } } = entrant
  const users = userIds.length
  async function sendToAll (): Promise<void> {
    const arrived = ledger.arrival(ledger.received + users)
    await fanOut(entrant, ledger.writeToAll(length))
    await arrived
  }
  await sendToAll() // to warm up
  const cpu = await server.cpu()
  const begin = performance.now()
  for (let i = 0; i < FAN_OUTS; i++) await sendToAll()
  const seconds = (performance.now() - begin) / 1_000
  return { cpu: (await server.cpu() - cpu) / FAN_OUTS / users, rate: FAN_OUTS * users / seconds }
}
