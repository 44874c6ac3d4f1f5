// What this instance asks a peer to deliver: see also cluster-schedules.ts, where several instances relay to each other.
import { test } from 'tap'
import type { RelayedItem } from '../../src/cluster/frames.js'
import { OutgoingRelays } from '../../src/cluster/outgoing-relays.js'
import { Peer } from '../../src/cluster/peer.js'
import { Delivery } from '../../src/delivery/delivery.js'
import { compose } from '../../src/delivery/notification.js'
import { MemoryMessage } from '../support/core.js'

/** An instance with two peers, each of which is known to have a user or not. The broker confirms what is published. */
function openRelays ({ isAlone = false } = {}) {
  const peer = new Peer({ from: 'peer', inbox: 'inbox', term: 1, seq: 0 }, 0)
  const otherPeer = new Peer({ from: 'other peer', inbox: 'other inbox', term: 1, seq: 0 }, 0)
  const known = new Set<string>()
  const knownToOther = new Set<string>()
  const published: Array<RelayedItem & { inbox: string }> = []
  /** Those who wait for what was announced before. */
  const waiting: Array<() => void> = []
  const absent: string[] = []
  const reconsidered: string[] = []
  const abandoned: string[] = []
  let lastNumber = 0
  const relays = new OutgoingRelays({
    afterMarker (callback) {
      waiting.push(callback)
      return () => {}
    },
    log: undefined as never,
    receiptTimeout: 1_000,
    publishTimeout: 1_000,
    awaitsAcks: false,
    now: () => 0,
    number: () => ++lastNumber,
    publish (inbox, items, done) {
      for (const item of JSON.parse(items) as RelayedItem[]) published.push({ ...item, inbox })
      done('routed')
    },
    returned () {},
    schedule () {},
    tell () {},
    isAlone: () => isAlone,
    peersOf: userId => [...known.has(userId) ? [peer] : [], ...knownToOther.has(userId) ? [otherPeer] : []],
    traceOf: () => undefined,
    listener: {
      peersAnswered: ({ id }, isElsewhere) => { if (!isElsewhere) absent.push(id) },
      peerSettled () {},
      peerTook () {},
      peerOverdue () {},
      abandon: ({ id }) => { abandoned.push(id) },
      fail () {},
      reconsider (delivery) {
        reconsidered.push(delivery.id)
        relays.deliver(delivery, false)
      }
    }
  })
  function take (position: number, isHere = false): Delivery {
    const delivery = new Delivery(compose('123', 'hello', `n${position}`), new MemoryMessage(false), position, Infinity)
    relays.deliver(delivery, isHere)
    return delivery
  }
  /** The relays that this turn has for a peer, each with the one that it must not overtake. */
  function flush (to = peer): Array<[id: string, after: number | undefined]> {
    relays.flush()
    return published.splice(0).filter(({ inbox }) => inbox === to.inbox).map(({ id, after }) => [id, after])
  }
  return { relays, peer, otherPeer, known, knownToOther, take, flush, waiting, absent, reconsidered, abandoned }
}

test('a peer that is asked again is first asked for the older ones that it has refused', t => {
  const { relays, known, take, flush } = openRelays()
  known.add('123')
  take(1)
  take(2)
  t.same(flush(), [['n1', undefined], ['n2', 1]])
  known.delete('123')
  relays.receipt('peer', [1, 'nobody', 0])
  // The receipt for the second one is lost with the inbox. By now the user is connected to the peer.
  relays.resume(true)
  t.same(flush(), [['n1', undefined], ['n2', 1]])
  t.end()
})

test('a peer that has refused a relay for which another one is asked still gets it before newer ones', t => {
  const { relays, known, knownToOther, take, flush, waiting } = openRelays()
  known.add('123')
  knownToOther.add('123')
  const first = take(1)
  t.same(flush(), [['n1', undefined]])
  waiting.shift()!()
  relays.receipt('peer', [1, 'nobody', 0])
  // The other peer has not answered. By now the user is connected to the first one.
  take(2)
  t.same(flush(), [['n1', undefined], ['n2', 1]])
  t.ok(first.redelivered, 'a client may have seen it at the other peer')
  t.end()
})

test('a peer that turns out to have the user gets what waits for room here before newer ones', t => {
  const { relays, peer, known, take, flush, waiting } = openRelays()
  take(1).waitFor('room')
  flush()
  waiting.shift()!()
  take(2)
  known.add('123')
  relays.arrived('123', peer)
  t.same(flush(), [['n1', undefined], ['n2', 1]])
  t.end()
})

test('what a connection has is not for a user who connects to a peer that had nobody when it got there', t => {
  const { relays, peer, known, take, flush } = openRelays()
  known.add('123')
  take(1).isSentHere = true
  take(2).isSentHere = true
  take(3).isSentHere = true
  flush()
  // The user was gone when the first two arrived there, and back when the third one did.
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  relays.arrived('123', peer)
  t.same(flush(), [])
  t.end()
})

test('a peer that has refused something because of what it had refused before gets it late, as delivered again', t => {
  const { relays, peer, known, take, flush } = openRelays()
  known.add('123')
  const [first, second] = [take(1), take(2)] as const
  t.same(flush(), [['n1', undefined], ['n2', 1]])
  first.isSentHere = second.isSentHere = true
  take(3).isSentHere = true
  flush()
  // The user was back when the second one arrived there. The third one was not refused.
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  relays.arrived('123', peer)
  t.same(flush(), [['n2', undefined]])
  t.ok(second.redelivered)
  t.end()
})

test('a peer that is asked again is not asked for what somebody has, or what has its outcome', t => {
  const { relays, known, take, flush } = openRelays()
  known.add('123')
  const [first, second] = [take(1), take(2)]
  take(3)
  flush()
  known.delete('123')
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  first!.isSentHere = true
  relays.settled(second!, 'offline')
  relays.resume(true)
  t.same(flush(), [['n3', undefined]])
  t.end()
})

test('who has nobody is said by what was announced before the broker delivered the message last', t => {
  const { take, flush, waiting, absent } = openRelays()
  const delivery = take(1)
  flush()
  delivery.isRetaken = true
  waiting.shift()!()
  t.same(absent, [])
  flush()
  waiting.shift()!()
  t.same(absent, ['n1'])
  t.same(waiting, [])
  t.end()
})

test('while there are no peers, nothing is relayed that a connection here has', t => {
  for (const isAlone of [true, false]) {
    const { take, flush, waiting } = openRelays({ isAlone })
    take(1, true)
    flush()
    t.equal(waiting.length, isAlone ? 0 : 1)
  }
  t.end()
})

test('a peer is not asked for what a connection here has when it announces a user who was not there when that was taken', t => {
  const { relays, peer, take, flush, waiting } = openRelays()
  take(1).isSentHere = true
  flush()
  waiting.shift()!()
  relays.arrived('123', peer)
  t.same(flush(), [])
  t.end()
})

test('a peer that announces a user is not asked for what is on its way into the hold', t => {
  const { relays, peer, take, flush } = openRelays()
  take(1).waitFor('hold')
  relays.arrived('123', peer)
  t.same(flush(), [])
  t.end()
})

test('what nobody has is decided again when a peer announces its user', t => {
  const { relays, peer, known, take, flush, reconsidered } = openRelays()
  take(1)
  flush()
  known.add('123')
  relays.arrived('123', peer)
  t.same(reconsidered, ['n1'])
  t.same(flush(), [['n1', undefined]])
  t.end()
})

test('a peer that turns out to have the user gets what a connection here had as delivered again, without its message being kept', t => {
  const { relays, peer, take, flush } = openRelays()
  const delivery = take(1)
  relays.settled(delivery, 'sent')
  t.equal(delivery.origin, undefined)
  relays.arrived('123', peer)
  t.same(flush(), [['n1', undefined]])
  t.ok(delivery.redelivered)
  t.end()
})

test('what a peer has had, and another one is still asked for, is not taken elsewhere any more', t => {
  const { relays, known, knownToOther, take, flush } = openRelays()
  known.add('123')
  knownToOther.add('123')
  const delivery = take(1)
  flush()
  relays.receipt('peer', [1, 'taken', 1])
  delivery.isTakenElsewhere = true
  relays.receipt('peer', [1, 'nobody', 1])
  t.notOk(delivery.isTakenElsewhere)
  t.end()
})

test('what the broker delivers again is not decided again when its peer has nobody', t => {
  const { relays, known, take, flush, reconsidered, abandoned } = openRelays()
  known.add('123')
  const delivery = take(1)
  flush()
  const message = delivery.origin as MemoryMessage
  message.lose()
  relays.receipt('peer', [1, 'nobody', 0])
  t.same(reconsidered, [])
  t.same(abandoned, ['n1'])
  t.end()
})

test('what a peer may have when the broker delivers it again is for other peers that turn out to have the user, too', t => {
  for (const isKnown of [true, false]) {
    const { relays, otherPeer, known, take, flush, abandoned } = openRelays()
    if (isKnown) known.add('123')
    const delivery = take(1)
    flush();
    (delivery.origin as MemoryMessage).lose()
    relays.tick(true)
    t.same(abandoned, ['n1'])
    relays.arrived('123', otherPeer)
    t.same(flush(otherPeer), isKnown ? [['n1', undefined]] : [])
    t.equal(delivery.redelivered, isKnown)
  }
  t.end()
})

test('an instance that has closed keeps nothing of what it has sent', t => {
  const { relays, take, flush, waiting } = openRelays({ isAlone: true })
  const delivery = take(1, true)
  relays.close()
  relays.sentHere(delivery)
  flush()
  t.same(waiting, [])
  t.end()
})

test('what was sent here while the broker is away is known when it is back, for peers that turn out to have the user', t => {
  const { relays, peer, take, flush, waiting } = openRelays()
  const now = Date.now() * 1_000
  for (let n = 1; n <= 1_200; n++) {
    const delivery = take(now + n)
    delivery.isSentHere = true
    relays.settled(delivery, 'sent')
  }
  relays.tick(false)
  relays.arrived('123', peer)
  t.same(flush().map(([id]) => id), Array.from({ length: 1_000 }, (_, n) => `n${now + 201 + n}`), 'the newest 1,000')
  waiting.shift()!()
  relays.arrived('123', peer)
  t.same(flush(), [], 'who comes later is not meant')
  t.end()
})

test('what was sent here more than five seconds ago is not for those who connect to a peer after an outage', t => {
  const { relays, peer, take, flush } = openRelays()
  for (const age of [6_000, 1_000]) {
    const delivery = take((Date.now() - age) * 1_000)
    delivery.isSentHere = true
    relays.settled(delivery, 'sent')
  }
  relays.tick(false)
  relays.arrived('123', peer)
  t.equal(flush().length, 1)
  t.end()
})
