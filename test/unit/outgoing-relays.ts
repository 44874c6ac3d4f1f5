// What this instance asks a peer to deliver: see also cluster-schedules.ts, where several instances relay to each other.
import { test } from 'tap'
import type { MemoryMessage } from '../support/core.js'
import { openOutgoingRelays } from '../support/outgoing-relays.js'

test('a peer that turns out to have the user gets what waits for room here before newer ones', t => {
  const { relays, peer, known, take, flush, waiting } = openOutgoingRelays()
  take(1).waitFor('room')
  flush()
  waiting.shift()!()
  take(2)
  known.add('123')
  relays.arrived('123', peer)
  t.same(flush(), [['n1', undefined], ['n2', 1]])
  t.end()
})

test('who has nobody is said by what was announced before the broker delivered the message last', t => {
  const { take, flush, waiting, absent } = openOutgoingRelays()
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

test('what nobody has, and was taken later, is decided again: what is older may be on its way into the hold', t => {
  const { take, flush, waiting, absent, reconsidered } = openOutgoingRelays()
  take(1)
  flush()
  take(2)
  flush()
  waiting.shift()!()
  t.same([absent, reconsidered], [['n1'], ['n2']])
  t.end()
})

test('one marker is enough for what is decided again before it is back', t => {
  const { relays, peer, take, flush, waiting, reconsidered } = openOutgoingRelays()
  take(1)
  flush()
  relays.arrived('123', peer)
  flush()
  t.same(reconsidered, ['n1'])
  t.equal(waiting.length, 1)
  t.end()
})

test('while there are no peers, nothing is relayed that a connection here has', t => {
  for (const isAlone of [true, false]) {
    const { take, flush, waiting } = openOutgoingRelays({ isAlone })
    take(1, true)
    flush()
    t.equal(waiting.length, isAlone ? 0 : 1)
  }
  t.end()
})

test('a peer is not asked for what a connection here has when it announces a user who was not there when that was taken', t => {
  const { relays, peer, take, flush, waiting } = openOutgoingRelays()
  take(1).isSentHere = true
  flush()
  waiting.shift()!()
  relays.arrived('123', peer)
  t.same(flush(), [])
  t.end()
})

test('a peer that announces a user is not asked for what is on its way into the hold', t => {
  const { relays, peer, take, flush } = openOutgoingRelays()
  take(1).waitFor('hold')
  relays.arrived('123', peer)
  t.same(flush(), [])
  t.end()
})

test('what nobody has is decided again when a peer announces its user', t => {
  const { relays, peer, known, take, flush, reconsidered } = openOutgoingRelays()
  take(1)
  flush()
  known.add('123')
  relays.arrived('123', peer)
  t.same(reconsidered, ['n1'])
  t.same(flush(), [['n1', undefined]])
  t.end()
})

test('a peer that turns out to have the user gets what a connection here had as delivered again, without its message being kept', t => {
  const { relays, peer, take, flush } = openOutgoingRelays()
  const delivery = take(1)
  relays.settled(delivery, 'sent')
  t.equal(delivery.origin, undefined)
  relays.arrived('123', peer)
  t.same(flush(), [['n1', undefined]])
  t.ok(delivery.redelivered)
  t.end()
})

test('what a peer has had, and another one is still asked for, is not taken elsewhere any more', t => {
  const { relays, known, knownToOther, take, flush } = openOutgoingRelays()
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

test('what a peer has that is closing is decided again when that peer has told nothing for receiptTimeout', t => {
  const { relays, peer, known, take, flush, clock, reconsidered } = openOutgoingRelays()
  known.add('123')
  const delivery = take(1)
  flush()
  relays.receipt('peer', [1, 'taken', 1])
  known.delete('123')
  peer.hasLeft = true
  relays.peerGone(peer)
  t.same(reconsidered, [], 'its clients may still acknowledge')
  clock.now = 1_000
  relays.peerGone(peer)
  t.same(reconsidered, ['n1'])
  t.ok(delivery.redelivered)
  t.end()
})

test('a peer that has something is told its outcome, also if it says so later', t => {
  const { relays, known, knownToOther, take, flush, told } = openOutgoingRelays({ awaitsAcks: true })
  known.add('123')
  knownToOther.add('123')
  take(1)
  take(2)
  flush()
  relays.receipt('peer', [1, 'taken', 1])
  for (const relay of [1, 2]) relays.receipt('other peer', [relay, 'acknowledged', 1])
  t.same(told, [['peer', 1, 'acknowledged']])
  relays.receipt('peer', [2, 'taken', 1])
  t.same(told.slice(1), [['peer', 2, 'acknowledged']])
  t.end()
})

test('what clients of a peer may have seen, who are gone, is marked', t => {
  for (const lost of [false, true]) {
    const { relays, known, take, flush } = openOutgoingRelays()
    known.add('123')
    const delivery = take(1)
    flush()
    if (!lost) relays.receipt('peer', [1, 'taken', 1])
    relays.receipt('peer', [1, 'nobody', lost ? 1 : 0])
    t.ok(delivery.redelivered)
  }
  t.end()
})

test('that a peer has something is told once, and that its clients have not acknowledged if no other peer has it', t => {
  const { relays, known, knownToOther, take, flush, taken, overdue } = openOutgoingRelays()
  known.add('123')
  knownToOther.add('123')
  take(1)
  flush()
  for (const instance of ['peer', 'peer', 'other peer']) relays.receipt(instance, [1, 'taken', 1])
  t.same(taken, ['n1', 'n1'], 'once for each peer')
  relays.receipt('peer', [1, 'overdue', 1])
  t.same(overdue, [])
  relays.receipt('other peer', [1, 'overdue', 1])
  t.same(overdue, ['n1'])
  t.end()
})

test('what the broker delivers again is not decided again when its peer has nobody', t => {
  const { relays, known, take, flush, reconsidered, abandoned } = openOutgoingRelays()
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
    const { relays, otherPeer, known, take, flush, abandoned } = openOutgoingRelays()
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
  const { relays, take, flush, waiting } = openOutgoingRelays({ isAlone: true })
  const delivery = take(1, true)
  relays.close()
  relays.sentHere(delivery)
  flush()
  t.same(waiting, [])
  t.end()
})

test('what was sent here while the broker is away is known when it is back, for peers that turn out to have the user', t => {
  const { relays, peer, take, flush, waiting } = openOutgoingRelays()
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
  const { relays, peer, take, flush } = openOutgoingRelays()
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
