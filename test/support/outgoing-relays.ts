import type { RelayedItem, SettledItem } from '../../src/cluster/frames.js'
import { OutgoingRelays } from '../../src/cluster/outgoing-relays.js'
import { Peer } from '../../src/cluster/peer.js'
import { Delivery } from '../../src/delivery/delivery.js'
import type { Origin } from '../../src/delivery/doors.js'
import { compose } from '../../src/delivery/notification.js'
import { MemoryMessage } from './core.js'

/** An instance with two peers, each of which is known to have a user or not. The broker confirms what is published. */
export function openOutgoingRelays ({ isAlone = false, isSlow = false, awaitsAcks = false } = {}) {
  const peer = new Peer({ from: 'peer', inbox: 'inbox', term: 1, seq: 0 }, 0)
  const otherPeer = new Peer({ from: 'other peer', inbox: 'other inbox', term: 1, seq: 0 }, 0)
  const known = new Set<string>()
  const knownToOther = new Set<string>()
  const published: Array<RelayedItem & { inbox: string }> = []
  /** With `isSlow`: what the broker has not confirmed. */
  const unconfirmed: Array<() => void> = []
  /** Those who wait for what was announced before. */
  const waiting: Array<() => void> = []
  /** The outcomes that peers were told. */
  const told: Array<[instance: string, ...SettledItem]> = []
  const absent: string[] = []
  const answered: string[] = []
  const taken: string[] = []
  const overdue: string[] = []
  const failed: string[] = []
  const reconsidered: string[] = []
  const abandoned: string[] = []
  const clock = { now: 0 }
  let lastNumber = 0
  const relays = new OutgoingRelays({
    afterMarker (callback) {
      waiting.push(callback)
      return () => {}
    },
    log: undefined as never,
    receiptTimeout: 1_000,
    publishTimeout: 1_000,
    awaitsAcks,
    now: () => clock.now,
    number: () => ++lastNumber,
    publish (inbox, items, done) {
      for (const item of JSON.parse(items) as RelayedItem[]) published.push({ ...item, inbox })
      if (isSlow) unconfirmed.push(() => done('routed'))
      else done('routed')
    },
    returned () {},
    schedule () {},
    tell: (instance, item) => { told.push([instance, ...item]) },
    isAlone: () => isAlone,
    peersOf: userId => [...known.has(userId) ? [peer] : [], ...knownToOther.has(userId) ? [otherPeer] : []],
    traceOf: () => undefined,
    listener: {
      peersAnswered: ({ id }, isElsewhere) => { (isElsewhere ? answered : absent).push(id) },
      peerSettled: (delivery, outcome) => relays.settled(delivery, outcome),
      peerTook: ({ id }) => { taken.push(id) },
      peerOverdue: ({ id }) => { overdue.push(id) },
      abandon: ({ id }) => { abandoned.push(id) },
      fail: ({ id }) => { failed.push(id) },
      reconsider (delivery) {
        reconsidered.push(delivery.id)
        relays.deliver(delivery, false)
      }
    }
  })
  function take (position: number, isHere = false, content = 'hello', origin: Origin = new MemoryMessage(false)): Delivery {
    const delivery = new Delivery(compose('123', content, `n${position}`), origin, position, Infinity)
    relays.deliver(delivery, isHere)
    return delivery
  }
  /** The relays that this turn has for a peer, each with the one that it must not overtake. */
  function flush (to = peer): Array<[id: string, after: number | undefined]> {
    relays.flush()
    return published.splice(0).filter(({ inbox }) => inbox === to.inbox).map(({ id, after }) => [id, after])
  }
  return { relays, peer, otherPeer, known, knownToOther, take, flush, clock, unconfirmed, told, waiting, absent, answered, taken, overdue, failed, reconsidered, abandoned }
}

/** Two notifications that both peers were asked for, of which none has answered. */
export function openAsked (options?: Parameters<typeof openOutgoingRelays>[0]) {
  const opened = openOutgoingRelays(options)
  opened.known.add('123')
  opened.knownToOther.add('123')
  const delivery = [opened.take(1), opened.take(2)][1]!
  opened.flush()
  return { ...opened, delivery }
}
