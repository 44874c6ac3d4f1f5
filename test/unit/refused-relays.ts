// What becomes of what a peer has refused.
import { test } from 'tap'
import { openAsked, openOutgoingRelays } from '../support/outgoing-relays.js'

test('a peer that is asked again is first asked for the older ones that it has refused', t => {
  const { relays, known, take, flush } = openOutgoingRelays()
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
  const { relays, known, knownToOther, take, flush, waiting } = openOutgoingRelays()
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

test('what a connection has is not for a user who connects to a peer that had nobody when it got there', t => {
  const { relays, peer, known, take, flush } = openOutgoingRelays()
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
  const { relays, peer, known, take, flush } = openOutgoingRelays()
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
  const { relays, known, take, flush } = openOutgoingRelays()
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

test('a peer that has refused something because of an older one gets it once another peer has it', t => {
  for (const [first, second] of [['peer', 'other peer'], ['other peer', 'peer']] as const) {
    const { relays, flush, delivery } = openAsked()
    // The user was back when the second one arrived there.
    for (const instance of [first, second]) for (const relay of [1, 2]) relays.receipt(instance, [relay, instance === 'peer' ? 'nobody' : 'taken', 0])
    t.same(flush(), [['n2', undefined]])
    t.ok(delivery.redelivered)
  }
  t.end()
})

/** Two notifications that a peer has refused, the second one because of the first one. The other peer has not answered. */
function openRefusedByOne () {
  const opened = openAsked()
  for (const relay of [1, 2]) opened.relays.receipt('peer', [relay, 'nobody', 0])
  return opened
}

test('what is held is not asked for again when a peer refuses it later', t => {
  const { relays, known, take, flush } = openOutgoingRelays()
  known.add('123')
  const [first, second] = [take(1), take(2)]
  flush()
  for (const delivery of [first, second]) relays.settled(delivery!, 'held')
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  t.same(flush(), [])
  t.end()
})

test('a peer that had its user when it refused something, and has nobody by now, is not asked again', t => {
  const { relays, known, flush } = openAsked()
  known.delete('123')
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  known.add('123')
  for (const relay of [1, 2]) relays.receipt('other peer', [relay, 'taken', 1])
  t.same(flush(), [])
  t.end()
})

test('a peer that has refused something because of an older one gets it once a connection here has it', t => {
  const { relays, flush, delivery } = openRefusedByOne()
  t.same(flush(), [], 'the other peer has not answered')
  relays.settled(delivery, 'sent')
  t.same(flush(), [['n2', undefined]])
  t.end()
})

test('what is on its way into the hold is not asked for again', t => {
  const { relays, flush, delivery } = openAsked()
  relays.receipt('other peer', [2, 'taken', 1])
  delivery.waitFor('hold')
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  t.same(flush(), [])
  t.end()
})

test('a receipt for an earlier ask is none for one that is not published yet', t => {
  const { relays, flush } = openAsked()
  relays.receipt('other peer', [2, 'taken', 1])
  for (const relay of [1, 2, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  t.same(flush(), [['n1', undefined], ['n2', 1]])
  t.end()
})

test('what a peer has refused is not asked for again when it is held', t => {
  const { relays, flush, delivery } = openRefusedByOne()
  relays.settled(delivery, 'held')
  t.same(flush(), [])
  t.end()
})

test('an application that closes asks nobody again', t => {
  const { relays, flush } = openRefusedByOne()
  relays.close()
  t.same(flush(), [])
  t.end()
})

test('a peer that is asked again is not asked once more while it has not answered', t => {
  const { relays, flush } = openRefusedByOne()
  for (const times of [1, 0]) {
    relays.receipt('other peer', [2, 'taken', 1])
    t.equal(flush().filter(([id]) => id === 'n2').length, times)
  }
  t.end()
})

test('a peer that refuses what is being asked for again is asked once', t => {
  const { relays, peer, flush } = openAsked()
  relays.peerMoved(peer)
  relays.receipt('other peer', [2, 'sent', 1])
  relays.receipt('peer', [2, 'nobody', 0])
  t.equal(flush().filter(([id]) => id === 'n2').length, 1)
  t.end()
})

test('a peer that has had something, and has nobody any more, is not asked again when its outcome is known', t => {
  const { relays, flush, waiting } = openAsked()
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'taken', 1])
  for (const relay of [1, 2]) relays.receipt('other peer', [relay, 'acknowledged', 1])
  for (const arrived of waiting.splice(0)) arrived()
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 1])
  t.same(flush(), [])
  t.end()
})

test('a peer has what it was asked for earlier, though it is asked anew', t => {
  const { relays, peer, known, take, flush } = openOutgoingRelays()
  known.add('123')
  const delivery = take(1)
  flush()
  relays.peerGone(peer)
  relays.receipt('peer', [1, 'sent', 1])
  t.notOk(relays.isAsking(delivery))
  t.same(flush(), [])
  t.end()
})

test('a peer that has refused something because of an older one gets it when a connection here has got room for it', t => {
  const { relays, flush, delivery } = openRefusedByOne()
  delivery.isSentHere = true
  relays.tick(true)
  t.same(flush(), [['n2', undefined]])
  t.end()
})
