// What ends a relay for which no answer is awaited any more.
import { test } from 'tap'
import type { Subscriber } from '../../src/delivery/doors.js'
import { call, type MemoryMessage } from '../support/core.js'
import { openOutgoingRelays } from '../support/outgoing-relays.js'

test('what the broker delivers again is not given up while a connection here has it, or it waits for room', t => {
  const { relays, take, abandoned } = openOutgoingRelays()
  const delivery = take(1);
  (delivery.origin as MemoryMessage).lose()
  delivery.holders = [{} as Subscriber]
  relays.tick(true)
  delivery.holders = []
  delivery.waitFor('room')
  relays.tick(true)
  t.same(abandoned, [])
  delivery.waitsFor = undefined
  relays.tick(true)
  t.same(abandoned, ['n1'])
  t.end()
})

test('a call fails after publishTimeout if the broker has not taken it for its peer, and waits for a peer that has it', t => {
  for (const isConfirmed of [false, true]) {
    const { relays, clock, known, take, flush, unconfirmed, failed } = openOutgoingRelays({ isSlow: true })
    known.add('123')
    take(1, false, 'hello', call)
    for (const now of [1_000, 1_001, 2_000, 2_001]) {
      flush()
      if (isConfirmed) for (const confirm of unconfirmed.splice(0)) confirm()
      clock.now = now
      relays.tick(true)
      t.same(failed.slice(0, 1), isConfirmed || now === 1_000 ? [] : ['n1'])
    }
  }
  t.end()
})

test('a call fails after publishTimeout if it is not known whether somebody has the user', t => {
  const { relays, clock, take, flush, failed } = openOutgoingRelays()
  take(1, false, 'hello', call)
  flush()
  clock.now = 1_001
  relays.tick(true)
  t.same(failed, ['n1'])
  t.end()
})

test('a call that was sent here does not fail: after publishTimeout, or when the application closes, it is settled', t => {
  for (const isClosing of [false, true]) {
    const { relays, clock, known, take, flush, answered, failed } = openOutgoingRelays({ isSlow: true })
    known.add('123')
    take(1, false, 'hello', call).isSentHere = true
    flush()
    clock.now = isClosing ? 0 : 1_001
    if (isClosing) relays.close()
    else relays.tick(true)
    t.same([answered, failed], [['n1'], []])
  }
  t.end()
})

test('a call that nobody has fails when the application closes, and a message of a queue does not', t => {
  const { relays, take, failed } = openOutgoingRelays()
  take(1, false, 'hello', call)
  take(2)
  relays.close()
  t.same(failed, ['n1'])
  t.end()
})
