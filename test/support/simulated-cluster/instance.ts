import { ClusterCore } from '../../../src/cluster/cluster-core.js'
import { groupEntry } from '../../../src/cluster/entries.js'
import { FanOut } from '../../../src/delivery/fan-out.js'
import { Groups } from '../../../src/delivery/groups.js'
import type { Registry } from '../../../src/delivery/registry.js'
import { Admission } from '../../../src/websocket/admission.js'
import type { Connection } from '../../../src/websocket/connection.js'
import { Memberships } from '../../../src/websocket/memberships.js'
import { startInstance, type MemorySubscriber } from '../core.js'
import type { SimulatedClients } from './clients.js'
import { HoldConnection } from './hold.js'
import type { Member, World } from './world.js'

/** The room, the window and the time of slow clients, in milliseconds. */
const SLOW = { maxUnacked: 2, ackTimeout: 300, windowSize: { count: 6, bytes: Infinity } }
const QUICK = { maxUnacked: 1_000, ackTimeout: 600_000, windowSize: undefined }

const silent = { debug () {}, info () {}, warn () {}, error (fields: unknown) { console.error(fields) } } as never

/** Starts an instance, with the real delivery and the real cluster core. It has no inbox and no channel yet. */
export function startMember (world: World, clients: SimulatedClients): Member {
  const number = world.members.length
  const deferred: Array<() => void> = []
  const { broker, options: { settle, offline } } = world
  const { windowSize, ...limits } = world.isSlow ? SLOW : QUICK
  const hold = offline === 'hold' ? new HoldConnection(world.store) : undefined
  const overdue = (subscriber: MemorySubscriber): void => clients.end(world.tabs.find(tab => tab.subscriber === subscriber)!)
  const instance = startInstance({ settle, offline, ...limits }, { windowSize, store: hold, overdue })
  const name = `instance-${number}`
  const core: ClusterCore = new ClusterCore({
    instance: name,
    wire: {
      get state () { return !broker.hasChannel(number) ? 'closed' : broker.isBlocked ? 'blocked' : 'open' },
      publish: (to, frame, done) => broker.publish(number, to, frame, done),
      now: () => broker.now,
      defer: run => { deferred.push(run) },
      later: (_milliseconds, run) => { deferred.push(run) },
      reopen: () => world.violations.push(`${number} thinks that its bindings are lost`)
    },
    awaitsAcks: settle === 'acknowledged',
    receiptTimeout: 1_000,
    publishTimeout: 600_000,
    log: silent,
    malformed: () => world.violations.push(`${number} can't use what a peer has sent`),
    unsent: { add () {}, sent () {} },
    listener: instance.dispatcher.peerListener,
    traceOf: () => undefined,
    broadcast () {},
    multicast: (audience, payload, redelivered) => fanOut.deliverForPeer(audience, payload, redelivered),
    changeGroup: membership => clients.applyGroup(member, membership),
    closeConnections () {}
  })
  instance.dispatcher.connect(core.peers)
  const groups = new Groups<Connection>()
  const fanOut = new FanOut({
    dispatcher: instance.dispatcher,
    everybody: instance.subscribers,
    groups,
    observer: { fannedOut: (_multicast, origin) => { world.fannedOut(origin) } }
  })
  fanOut.peers = core.multicasts
  const admission = new Admission({
    registry: instance.subscribers as Registry<Connection>,
    memberships: new Memberships({
      groups,
      maximum: Infinity,
      opening: group => core.presence.opening(groupEntry(group)),
      left: group => core.presence.left(groupEntry(group))
    }),
    opening: userId => core.presence.opening(userId),
    left: userId => core.presence.left(userId),
    admitted: connection => clients.welcome(connection)
  })
  const member: Member = {
    number,
    name,
    instance,
    core,
    fanOut,
    admission,
    hold,
    inbox: undefined,
    deferred,
    isFrozen: false,
    isGone: false,
    hasGoneSilently: false,
    awayAt: 0,
    hasMissedAlarm: false
  }
  world.members.push(member)
  return member
}
