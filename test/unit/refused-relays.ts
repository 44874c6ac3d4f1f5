// What becomes of what a peer has refused, or may refuse.
import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'tap'
import { collectGarbage } from '../support/collect-garbage.js'
import { openOutgoingRelays } from '../support/outgoing-relays.js'

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
    const { relays, known, knownToOther, take, flush } = openOutgoingRelays()
    known.add('123')
    knownToOther.add('123')
    const [, delivery] = [take(1), take(2)]
    flush()
    // The user was back when the second one arrived there.
    for (const instance of [first, second]) for (const relay of [1, 2]) relays.receipt(instance, [relay, instance === 'peer' ? 'nobody' : 'taken', 0])
    t.same(flush(), [['n2', undefined]])
    t.ok(delivery.redelivered)
  }
  t.end()
})

/** Two notifications that the other peer has, and a peer has not answered. Everything is known that was announced before. */
function openAnsweredByOne () {
  const opened = openOutgoingRelays()
  const { relays, known, knownToOther, take, flush, waiting } = opened
  known.add('123')
  knownToOther.add('123')
  const delivery = [take(1), take(2)][1]!
  flush()
  for (const relay of [1, 2]) relays.receipt('other peer', [relay, 'sent', 1])
  for (const arrived of waiting.splice(0)) arrived()
  return { ...opened, delivery }
}

test('a peer that refuses something because of an older one gets it also when its outcome is known', t => {
  const { relays, flush, delivery } = openAnsweredByOne()
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  t.same(flush(), [['n2', undefined]])
  t.ok(delivery.redelivered)
  t.end()
})

test('a peer that has refused something because of an older one does not get it if its user is gone', t => {
  const { relays, peer, known, flush } = openAnsweredByOne()
  known.delete('123')
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  t.same(flush(), [])
  // Who comes now was not there when it was taken.
  known.add('123')
  relays.arrived('123', peer)
  t.same(flush(), [])
  t.end()
})

test('what another outcome is known of is asked for no more when a peer refuses it because of an older one', t => {
  const { relays, known, take, flush } = openOutgoingRelays()
  known.add('123')
  const [first, second] = [take(1), take(2)]
  flush()
  for (const delivery of [first, second]) relays.settled(delivery!, 'held')
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  t.same(flush(), [])
  t.end()
})

test('a peer that has what is over is not asked again, whatever it answers later', t => {
  const { relays, flush } = openAnsweredByOne()
  relays.receipt('peer', [2, 'sent', 1])
  relays.receipt('peer', [2, 'nobody', 0])
  t.same(flush(), [])
  t.end()
})

test('a peer that had its user when it refused something, and has nobody by now, is not asked again', t => {
  const { relays, known, knownToOther, take, flush } = openOutgoingRelays()
  known.add('123')
  knownToOther.add('123')
  take(1)
  take(2)
  flush()
  known.delete('123')
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  known.add('123')
  for (const relay of [1, 2]) relays.receipt('other peer', [relay, 'taken', 1])
  t.same(flush(), [])
  t.end()
})

test('a peer that has refused something because of an older one gets it once a connection here has it', t => {
  const { relays, known, knownToOther, take, flush } = openOutgoingRelays()
  known.add('123')
  knownToOther.add('123')
  const [, delivery] = [take(1), take(2)]
  flush()
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  t.same(flush(), [], 'the other peer has not answered')
  relays.settled(delivery, 'sent')
  t.same(flush(), [['n2', undefined]])
  t.end()
})

test('what is on its way into the hold is not asked for again', t => {
  const { relays, known, knownToOther, take, flush } = openOutgoingRelays()
  known.add('123')
  knownToOther.add('123')
  const [, delivery] = [take(1), take(2)]
  flush()
  relays.receipt('other peer', [2, 'taken', 1])
  delivery.waitFor('hold')
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  t.same(flush(), [])
  t.end()
})

test('a receipt for an earlier ask is none for one that is not published yet', t => {
  const { relays, known, knownToOther, take, flush } = openOutgoingRelays()
  known.add('123')
  knownToOther.add('123')
  take(1)
  take(2)
  flush()
  relays.receipt('other peer', [2, 'taken', 1])
  for (const relay of [1, 2, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  t.same(flush(), [['n1', undefined], ['n2', 1]])
  t.end()
})

test('a peer may refuse for two times receiptTimeout what is over', t => {
  const { relays, clock, flush } = openAnsweredByOne()
  clock.now = 2_000
  relays.tick(true)
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  t.same(flush(), [])
  t.end()
})

test('of what is over and may still be refused, the newest 1,000 and 16 MiB are kept', t => {
  for (const [content, taken, most] of [['hello', 1_201, 1_000], ['x'.repeat(100_000), 201, 167]] as const) {
    const { relays, known, knownToOther, take, flush, waiting } = openOutgoingRelays()
    known.add('123')
    knownToOther.add('123')
    for (let n = 1; n <= taken; n++) take(n, false, content)
    flush()
    for (let n = 1; n <= taken; n++) relays.receipt('other peer', [n, 'sent', 1])
    for (const arrived of waiting.splice(0)) arrived()
    for (let n = 1; n <= taken; n++) relays.receipt('peer', [n, 'nobody', 0])
    t.same(flush().map(([id]) => id), Array.from({ length: most }, (_, n) => `n${taken + 1 - most + n}`))
  }
  t.end()
})

/** Two notifications that a peer has refused, the second one because of the first one. The other peer has not answered. */
function openRefusedByOne () {
  const opened = openOutgoingRelays()
  const { relays, known, knownToOther, take, flush } = opened
  known.add('123')
  knownToOther.add('123')
  const delivery = [take(1), take(2)][1]!
  flush()
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 0])
  return { ...opened, delivery }
}

test('what is held is not asked for again', t => {
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
  const { relays, peer, known, knownToOther, take, flush } = openOutgoingRelays()
  known.add('123')
  knownToOther.add('123')
  take(1)
  take(2)
  flush()
  relays.peerMoved(peer)
  relays.receipt('other peer', [2, 'sent', 1])
  relays.receipt('peer', [2, 'nobody', 0])
  t.equal(flush().filter(([id]) => id === 'n2').length, 1)
  t.end()
})

test('a peer that has had something, and has nobody any more, is not asked again when its outcome is known', t => {
  const { relays, known, knownToOther, take, flush, waiting } = openOutgoingRelays()
  known.add('123')
  knownToOther.add('123')
  take(1)
  take(2)
  flush()
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'taken', 1])
  for (const relay of [1, 2]) relays.receipt('other peer', [relay, 'acknowledged', 1])
  for (const arrived of waiting.splice(0)) arrived()
  for (const relay of [1, 2]) relays.receipt('peer', [relay, 'nobody', 1])
  t.same(flush(), [])
  t.end()
})

test('of what is over, only what a peer may refuse because of an older one is kept, until it answers', async t => {
  const { relays, take, flush, waiting, known, knownToOther } = openOutgoingRelays()
  known.add('123')
  knownToOther.add('123')
  const taken = [new WeakRef(take(1)), new WeakRef(take(2))]
  const kept = async (): Promise<boolean[]> => {
    await turn() // until then, what a WeakRef refers to is kept
    collectGarbage()
    return taken.map(delivery => delivery.deref() !== undefined)
  }
  flush()
  for (const relay of [1, 2]) relays.receipt('other peer', [relay, 'sent', 1])
  while (waiting.length > 0) waiting.shift()!()
  t.same(await kept(), [false, true])
  relays.receipt('peer', [2, 'sent', 1])
  t.same(await kept(), [false, false])
})

test('a peer whose answer comes before the confirm of the broker is not asked again for what is over', t => {
  const { relays, clock, known, knownToOther, take, flush, unconfirmed } = openOutgoingRelays({ isSlow: true })
  known.add('123')
  knownToOther.add('123')
  take(1)
  flush()
  relays.receipt('other peer', [1, 'sent', 1])
  relays.receipt('peer', [1, 'sent', 1])
  for (const confirm of unconfirmed.splice(0)) confirm()
  clock.now = 10_000
  relays.tick(true)
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
