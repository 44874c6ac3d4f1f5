// What is over, and peers may still refuse because of an older one.
import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'tap'
import { collectGarbage } from '../support/collect-garbage.js'
import { openAsked, openOutgoingRelays } from '../support/outgoing-relays.js'

/** Two notifications that the other peer has, and a peer has not answered. Everything is known that was announced before. */
function openAnsweredByOne () {
  const opened = openAsked()
  for (const relay of [1, 2]) opened.relays.receipt('other peer', [relay, 'sent', 1])
  for (const arrived of opened.waiting.splice(0)) arrived()
  return opened
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

test('a peer that has what is over is not asked again, whatever it answers later', t => {
  const { relays, flush } = openAnsweredByOne()
  relays.receipt('peer', [2, 'sent', 1])
  relays.receipt('peer', [2, 'nobody', 0])
  t.same(flush(), [])
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
