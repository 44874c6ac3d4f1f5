import { setTimeout as delay } from 'node:timers/promises'
import { acknowledged, autoAck, cluster, clusterWelcoming, everybody, floor, hold, ours, welcoming, type Contender } from './contenders.js'
import { enter, type Entrant, type EntrantOptions } from './entrant.js'
import { onThreeNodes } from './nodes.js'
import type { Measured, Results } from './results.js'
import { quantile } from './statistics.js'
import { flood, pace, publish } from './traffic.js'

export interface Bench {
  /** What all entrants have in common. */
  readonly common: Pick<EntrantOptions, 'amqpUrl' | 'nodes' | 'channel' | 'profile'>
  /** Runs rabbitmqctl. */
  ctl (...args: string[]): Promise<string>
  readonly redisUrl: string
  /** How many rounds count; one more comes before, to warm up. */
  readonly rounds: number
  readonly results: Results
  log (line: string): void
}

const USERS = 1_000
const MANY_USERS = 10_000
const FEW_USERS = 10
const MESSAGES = 40_000
const PACED_SECONDS = 4
const FAN_OUTS = 10
const HELD_PER_USER = 20
const IDLE_SECONDS = 10
/** So that 10 s see each connection pinged twice; milliseconds. */
const IDLE_HEARTBEAT = 5_000

/** One who takes part. */
type Participant = { readonly title: string } & Omit<EntrantOptions, keyof Bench['common']>

/** What is done to each in a round. */
type Measure = (entrant: Entrant) => Promise<Measured>

const all = (contenders: Contender[], options: Omit<Participant, 'title' | 'contender'>): Participant[] =>
  contenders.map(contender => ({ title: contender.title, contender, ...options }))

/** Every workload by its name, in the order in which they run. */
export const workloads: Record<string, (bench: Bench) => Promise<void>> = {
  'many users': async bench => {
    await alternate(bench, all(everybody, { connections: USERS }), { 'many users': flooded, 'many users, fixed rate': pacedAtHalf(bench) })
  },
  'many users, quorum queue': async bench => {
    await alternate(bench, all(everybody, { connections: USERS, queueType: 'quorum' }), { 'many users, quorum queue': flooded })
  },
  acknowledged: async bench => {
    await alternate(bench, all([acknowledged, ours], { connections: USERS }), { acknowledged: flooded })
  },
  hold: async bench => {
    await afresh(bench, 'hold', [
      { title: 'in memory', contender: hold, connections: USERS, env: { REDIS_URL: '' }, measure: heldAndReleased },
      { title: 'in Redis, every write synced', contender: hold, connections: USERS, env: { REDIS_URL: bench.redisUrl }, measure: heldAndReleased }
    ])
  },
  bursts: async bench => {
    await alternate(bench, all(everybody, { connections: USERS, addressed: FEW_USERS }), { bursts: flooded })
  },
  large: async bench => {
    await alternate(bench, all(everybody, { connections: USERS, length: 4_096 }), { large: flooded })
  },
  '10,000 connections': async bench => {
    for (const contender of [autoAck, ours]) {
      await alternate(bench, [
        { title: `${contender.title}, 1,000`, contender, connections: USERS },
        { title: `${contender.title}, 10,000`, contender, connections: MANY_USERS }
      ], { '10,000 connections': flooded })
    }
  },
  'fan-out': async bench => {
    // One after the other, as a process can't hold the sockets of several.
    const fanOuts = [
      { title: 'by hand, a loop of send', contender: autoAck, path: '/broadcast' },
      { title: `${floor.title}, the floor`, contender: floor, path: '/broadcast' },
      { title: 'broadcast()', contender: ours, path: '/broadcast' },
      { title: 'notifyMany()', contender: ours, path: '/notify-many' }
    ]
    await afresh(bench, 'fan-out', fanOuts.map(({ path, ...participant }) => ({
      ...participant, connections: MANY_USERS, measure: async (entrant: Entrant) => ({ ...await stormed(entrant, MANY_USERS), ...await fannedOut(entrant, path) })
    })))
  },
  'storm, then idle': async bench => {
    await afresh(bench, 'storm, then idle', [autoAck, ours].map(contender => ({
      title: contender.title,
      contender,
      connections: MANY_USERS,
      heartbeat: IDLE_HEARTBEAT,
      measure: async (entrant: Entrant) => ({ ...await stormed(entrant, MANY_USERS), ...await idled(entrant) })
    })))
  },
  cluster: async bench => {
    await alternate(bench, instances, { cluster: flooded })
  },
  'cluster, three nodes': async bench => {
    await onThreeNodes(bench, async bench => { await alternate(bench, instances, { 'cluster, three nodes': flooded }) })
  },
  bindings: async bench => {
    const measured = { connections: MANY_USERS, measure: bound }
    await afresh(bench, 'bindings', [
      { title: 'cluster: false', contender: welcoming, ...measured },
      { title: 'cluster: true, one node', contender: clusterWelcoming, ...measured }
    ])
    await onThreeNodes(bench, async bench => {
      await afresh(bench, 'bindings', [{ title: 'cluster: true, three nodes', contender: clusterWelcoming, ...measured }])
    })
  },
  'instance restart': async bench => {
    // The second asks whether the users of the first are there.
    const restarted = (bench: Bench, title: string) => afresh(bench, 'instance restart', [
      { title, contender: clusterWelcoming, connections: MANY_USERS, instances: 2, hosts: 1, measure: rebound(bench) }
    ])
    await restarted(bench, 'one node')
    await onThreeNodes(bench, bench => restarted(bench, 'three nodes'))
  }
}

/** All on a quorum queue, as the plugin declares it. */
const instances: Participant[] = [
  { title: 'cluster: false', contender: ours, connections: USERS, queueType: 'quorum' },
  ...[1, 2, 3].map(count => ({
    title: `cluster: true, instances: ${count}`, contender: cluster, connections: USERS, queueType: 'quorum' as const, instances: count
  }))
]

/** Starts all, and measures them in turn, A B C A B C …, for each of several workloads. */
async function alternate (bench: Bench, participants: Participant[], measures: Record<string, Measure>): Promise<void> {
  const entrants: Array<[title: string, Entrant]> = []
  try {
    for (const { title, ...options } of participants) {
      const entrant = await enter({ ...bench.common, ...options })
      entrants.push([title, entrant])
      await entrant.connect()
    }
    for (const [workload, measure] of Object.entries(measures)) {
      for (let round = 0; round <= bench.rounds; round++) {
        for (const [title, entrant] of entrants) {
          const measured = await measure(entrant)
          if (round > 0) bench.results.add(workload, title, measured)
        }
        bench.log(`${workload}: round ${round} of ${bench.rounds}`)
      }
    }
  } finally {
    for (const [, entrant] of entrants) await entrant.end()
  }
  for (const [, { ledger }] of entrants) ledger.assertComplete()
}

/** Measures all in turn, in a new process each time. */
async function afresh (bench: Bench, workload: string, participants: Array<Participant & { measure: Measure }>): Promise<void> {
  for (let round = 0; round <= bench.rounds; round++) {
    for (const { title, measure, ...options } of participants) {
      const entrant = await enter({ ...bench.common, ...options })
      try {
        const measured = await measure(entrant)
        if (round > 0) bench.results.add(workload, title, measured)
      } finally {
        await entrant.end()
      }
      entrant.ledger.assertComplete()
    }
    bench.log(`${workload}: round ${round} of ${bench.rounds}`)
  }
}

async function flooded ({ server, traffic }: Entrant): Promise<Measured> {
  const cpu = await server.cpu()
  const begin = performance.now()
  await flood(traffic, MESSAGES)
  const seconds = (performance.now() - begin) / 1_000
  return { cpu: (await server.cpu() - cpu) / MESSAGES, rate: MESSAGES / seconds }
}

/** The same rate for everybody: half of what the slowest reached. */
function pacedAtHalf ({ results }: Bench): Measure {
  return async ({ server, traffic, ledger }) => {
    const reached = results.rows().filter(({ workload }) => workload === 'many users').map(({ quantities }) => quantities.rate!.median)
    const rate = Math.min(...reached) / 2
    const latencies = ledger.measureLatency()
    const cpu = await server.cpu()
    await pace(traffic, rate, PACED_SECONDS)
    const sorted = latencies.sort((a, b) => a - b)
    return { cpu: (await server.cpu() - cpu) / sorted.length, rate, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) }
  }
}

async function stormed (entrant: Entrant, connections: number): Promise<Measured> {
  const { server } = entrant
  const memory = await server.memory()
  const cpu = await server.cpu()
  const begin = performance.now()
  await entrant.connect()
  const seconds = (performance.now() - begin) / 1_000
  const upgradeCpu = (await server.cpu() - cpu) / connections
  return { upgrades: connections / seconds, upgradeCpu, memory: (await server.memory() - memory) / connections }
}

/** All connect at once, until each can be reached; then each is. */
async function bound ({ server, traffic, connect }: Entrant): Promise<Measured> {
  const users = traffic.userIds.length
  const cpu = await server.cpu()
  const begin = performance.now()
  await connect()
  const seconds = (performance.now() - begin) / 1_000
  const upgradeCpu = (await server.cpu() - cpu) / users
  await flood(traffic, users)
  return { binds: users / seconds, upgradeCpu }
}

/** The broker closes the connection of an instance that has bound its users; then all are bound again, and each is reached. */
function rebound ({ ctl }: Bench): Measure {
  return async ({ server, traffic, connect }) => {
    const users = traffic.userIds.length
    const close = `[rabbit_networking:close_connection(Pid, "bench") ||
      [{pid, Pid}, {recv_oct, Received}, {client_properties, Properties}] <- rabbit_networking:connection_info_all([pid, recv_oct, client_properties]),
      {<<"connection_name">>, _, <<"fastify-notification relay", _/binary>>} <- Properties, Received > ${users * 20}]`
    await connect()
    const [response] = await Promise.all([fetch(`${server.urls[1]}/reached/${users}`, { signal: AbortSignal.timeout(60_000) }), ctl('eval', `${close}.`)])
    if (!response.ok) throw new Error(`/reached: ${response.status}`)
    const { seconds } = await response.json() as { seconds: number }
    await flood(traffic, users)
    return { rebound: seconds, binds: users / seconds }
  }
}

/** Published while nobody is connected, then everybody connects. */
async function heldAndReleased ({ server, traffic, ledger, connect }: Entrant): Promise<Measured> {
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

async function idled ({ server, traffic: { userIds } }: Entrant): Promise<Measured> {
  const cpu = await server.cpu()
  await delay(IDLE_SECONDS * 1_000)
  return { idleCpu: (await server.cpu() - cpu) / userIds.length * 60 / IDLE_SECONDS }
}

async function fannedOut ({ server, ledger, traffic: { userIds, length } }: Entrant, path: string): Promise<Measured> {
  const users = userIds.length
  async function fanOut (): Promise<void> {
    const arrived = ledger.arrival(ledger.received + users)
    const response = await fetch(server.url + path, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: ledger.writeToAll(length) })
    if (!response.ok) throw new Error(`${path}: ${response.status}`)
    await response.arrayBuffer()
    await arrived
  }
  await fanOut() // to warm up
  const cpu = await server.cpu()
  const begin = performance.now()
  for (let i = 0; i < FAN_OUTS; i++) await fanOut()
  const seconds = (performance.now() - begin) / 1_000
  return { cpu: (await server.cpu() - cpu) / FAN_OUTS / users, rate: FAN_OUTS * users / seconds }
}
