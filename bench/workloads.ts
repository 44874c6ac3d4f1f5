import { ackBridge, acknowledged, autoAck, cluster, clusterWelcoming, everybody, floor, groups, hold, ours, rooms, welcoming, type Contender } from './contenders.js'
import { enter, type Entrant, type EntrantOptions } from './entrant.js'
import { crowded, fannedOut, fanOuts, flooded, heldAndReleased, idled, paced, reconnected, remembered, stormed, welcomed, type Measure } from './measures.js'
import { onThreeNodes, overTls } from './nodes.js'
import type { Results } from './results.js'

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
const CROWD = 51_000 // of three processes: one may open 20,000 files here
/** So that 10 s see each connection pinged twice; milliseconds. */
const IDLE_HEARTBEAT = 5_000

/** What several processes cost on this machine that tell each other nothing: each has a queue and users of its own. */
const APART = 'cluster: false, 3 apart'

/** One who takes part. */
type Participant = { readonly title: string } & Omit<EntrantOptions, keyof Bench['common']>

const all = (contenders: Contender[], options: Omit<Participant, 'title' | 'contender'>): Participant[] =>
  contenders.map(contender => ({ title: contender.title, contender, ...options }))

/** Every workload by its name, in the order in which they run. */
export const workloads: Record<string, (bench: Bench) => Promise<void>> = {
  'many users': async bench => {
    await alternate(bench, all(everybody, { connections: USERS }), {
      'many users': flooded, 'many users, fixed rate': paced(bench, 0.5), 'many users, 80 % of the lowest rate': paced(bench, 0.8)
    })
  },
  'many users, quorum queue': async bench => {
    await alternate(bench, all(everybody, { connections: USERS, queueType: 'quorum' }), { 'many users, quorum queue': flooded })
  },
  'many users, headers': async bench => {
    await alternate(bench, all(everybody, { connections: USERS, hasProperties: true }), { 'many users, headers': flooded })
  },
  'many users, TLS': async bench => {
    await overTls(bench, async (bench, env) => { await alternate(bench, all(everybody, { connections: USERS, env }), { 'many users, TLS': flooded }) })
  },
  acknowledged: async bench => {
    await alternate(bench, all([ackBridge, ours, acknowledged], { connections: USERS }), { acknowledged: flooded })
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
    const ways = [
      { title: 'by hand, a loop of send', contender: autoAck, fanOut: fanOuts.broadcast },
      { title: 'Socket.IO, a room', contender: rooms, fanOut: fanOuts.broadcast },
      { title: `${floor.title}, the floor`, contender: floor, fanOut: fanOuts.broadcast },
      { title: 'a message for everybody', contender: ours, fanOut: fanOuts.everybody },
      { title: 'a message for a group', contender: groups, fanOut: fanOuts.group },
      { title: 'notifyGroup()', contender: groups, fanOut: fanOuts['notify-group'] },
      { title: 'notifyMany()', contender: ours, fanOut: fanOuts['notify-many'] },
      { title: 'broadcast()', contender: ours, fanOut: fanOuts.broadcast }
    ]
    await afresh(bench, 'fan-out', ways.map(({ fanOut, ...participant }) => ({
      ...participant, connections: MANY_USERS, measure: async (entrant: Entrant) => ({ ...await stormed(entrant, MANY_USERS), ...await fannedOut(entrant, fanOut) })
    })))
  },
  'storm, then idle': async bench => {
    await afresh(bench, 'storm, then idle', [autoAck, ours].map(contender => ({
      title: contender.title,
      contender,
      connections: MANY_USERS,
      heartbeat: IDLE_HEARTBEAT,
      measure: async (entrant: Entrant) => ({ ...await stormed(entrant, MANY_USERS), ...await idled(entrant, MANY_USERS) })
    })))
  },
  '51,000 idle connections': async bench => {
    await afresh(bench, '51,000 idle connections', [autoAck, ours].map(contender => ({
      title: contender.title, contender, connections: 0, instances: 3, heartbeat: IDLE_HEARTBEAT, measure: crowded(CROWD)
    })))
  },
  cluster: async bench => {
    await alternate(bench, instances, { cluster: flooded })
  },
  'cluster, three nodes': async bench => {
    await onThreeNodes(bench, async bench => { await alternate(bench, instances, { 'cluster, three nodes': flooded }) })
  },
  connecting: async bench => {
    await afresh(bench, 'connecting', connecting)
  },
  'connecting, three nodes': async bench => {
    await onThreeNodes(bench, async bench => { await afresh(bench, 'connecting, three nodes', connecting) })
  },
  'connection lost': async bench => {
    const lost = (bench: Bench, title: string) => afresh(bench, 'connection lost', [
      { title, contender: clusterWelcoming, connections: MANY_USERS, instances: 2, hosts: 1, isSingleActive: true, measure: reconnected(bench) }
    ])
    await lost(bench, 'one node')
    await onThreeNodes(bench, bench => lost(bench, 'three nodes'))
  },
  'users of other instances': async bench => {
    await afresh(bench, 'users of other instances', [
      { title: '50,000 users', contender: cluster, connections: 0, measure: remembered }
    ])
  }
}

const connecting = [
  ...[1, 3].map(count => ({ title: instancesTitle(count), contender: clusterWelcoming, connections: MANY_USERS, instances: count, isSingleActive: true, measure: welcomed })),
  { title: APART, contender: welcoming, connections: MANY_USERS, instances: 3, isApart: true, measure: welcomed },
  { title: 'cluster: false', contender: welcoming, connections: MANY_USERS, measure: welcomed }
]

const onQuorumQueue = { connections: USERS, queueType: 'quorum' } as const

/** As the plugin declares its queue: with `cluster: true` it has a single active consumer. */
const instances: Participant[] = [
  ...[1, 2, 3].map(count => ({ title: instancesTitle(count), contender: cluster, ...onQuorumQueue, instances: count, isSingleActive: true })),
  { title: APART, contender: ours, ...onQuorumQueue, instances: 3, isApart: true },
  { title: 'cluster: false', contender: ours, ...onQuorumQueue }
]

function instancesTitle (count: number): string {
  return `cluster: true, ${count} ${count === 1 ? 'instance' : 'instances'}`
}

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
