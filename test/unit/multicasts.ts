import { test } from 'tap'
import { IncomingMulticasts } from '../../src/cluster/incoming-multicasts.js'
import type { Counted } from '../../src/cluster/frames.js'
import { OutgoingMulticasts } from '../../src/cluster/outgoing-multicasts.js'
import { Peer } from '../../src/cluster/peer.js'
import type { Published } from '../../src/cluster/wire.js'
import { composePayload } from '../../src/delivery/notification.js'
import type { Payload } from '../../src/delivery/payload.js'
import { Tally, type Summary } from '../../src/delivery/multicast.js'
import type { Origin } from '../../src/delivery/doors.js'
import { call, MemoryMessage } from '../support/core.js'

function peerOf (instance: string): Peer {
  const peer = new Peer({ from: instance, inbox: `inbox of ${instance}`, term: 1, seq: 0 }, 0)
  peer.hasToldUsers = true
  return peer
}
const everybody = { group: undefined, except: new Set<string>() }
const payload = composePayload('hi', 'x')
const one: Counted[4] = { sent: 1 }

/** Multicasts on their way, a clock, and peers that the test answers for. */
function start () {
  const peers = ['a', 'b'].map(peerOf)
  const published: Array<{ instance: string, item: { relay: number }, done (published: Published): void }> = []
  const stopped: string[] = []
  const markers = new Set<() => void>()
  const unsent: string[] = []
  let now = 0
  let inOrder = 0
  let lastNumber = 0
  const multicasts = new OutgoingMulticasts({
    receiptTimeout: 1_000,
    publishTimeout: 2_000,
    now: () => now,
    number: () => ++lastNumber,
    unsent: { add: (type, reason) => { unsent.push(`${type} ${reason}`) }, sent: type => { unsent.push(`${type} sent`) } },
    keepOrder () { inOrder++ },
    schedule () {},
    isAlone: () => peers.length === 0,
    peers: () => peers,
    peersOf: entry => entry === '\ng' ? peers.slice(0, 1) : [],
    afterMarker (callback) {
      markers.add(callback)
      return () => { markers.delete(callback) }
    },
    publish: (instance, json, done) => { published.push({ instance, item: JSON.parse(json)[0], done }) },
    stop: (instance, [relay]) => { stopped.push(`${instance} ${relay}`) }
  })
  return {
    /** Delivers a multicast to everybody, and returns what becomes of it. */
    deliver: async (origin: Origin) => await multicasts.deliver(everybody, payload, origin)!.result,
    multicasts,
    /** The peers that were told to stop, each with the number of the multicast. */
    stopped,
    peers,
    /** What the peers were not told, and that they are told again. */
    unsent,
    /** How many were to be published in the order in which they were taken. */
    inOrder: () => inOrder,
    /** What was published since the last call. */
    flush () {
      multicasts.flush(() => {})
      return published.splice(0)
    },
    mark () {
      const returned = [...markers]
      markers.clear()
      for (const callback of returned) callback()
    },
    /** How many wait for a marker. */
    markerCount: () => markers.size,
    pass (milliseconds: number) {
      now += milliseconds
      multicasts.tick()
    }
  }
}

test('a multicast goes to each peer once, and is settled when all have answered and everything announced before is known', async t => {
  const { deliver, multicasts, peers, flush, mark } = start()
  const result = deliver(call)
  t.same(flush().map(({ instance }) => instance), ['a', 'b'])
  multicasts.receive('a', [1, 'counted', 1, 2, one])
  multicasts.receive('a', [1, 'counted', 1, 2, one])
  multicasts.receive('b', [1, 'counted', 1, 1, { offline: 1 }])
  let isSettled = false
  result.then(() => { isSettled = true })
  await Promise.resolve()
  t.notOk(isSettled, 'a peer may have been announced before')
  peers.push(peerOf('c'))
  mark()
  t.same(flush().map(({ instance }) => instance), ['c'])
  multicasts.receive('c', [1, 'counted', 1, 1, one])
  t.same(await result, Object.assign(new Tally(), { users: 3, connections: 4, outcomes: { sent: 2, offline: 1 } }))
})

test('a multicast for everybody goes to a peer when its users are known: something older may be for them', async t => {
  const { multicasts, peers, flush } = start()
  const peer = peers[1]!
  peer.hasToldUsers = false
  multicasts.deliver(everybody, payload, call)
  t.same(flush().map(({ instance }) => instance), ['a'])
  peer.hasToldUsers = true
  multicasts.usersKnown()
  t.same(flush().map(({ instance }) => instance), ['b'])
})

test('a multicast for a group goes to the peers that have it, and says who is not to get it', async t => {
  const { multicasts, flush, mark } = start()
  const result = multicasts.deliver({ group: 'g', except: new Set(['me']) }, payload, new MemoryMessage(true))!.result
  t.match(flush(), [{ instance: 'a', item: { relay: 1, id: 'x', json: '"hi"', group: 'g', except: ['me'], redelivered: true } }])
  multicasts.receive('a', [1, 'counted', 0, 0, {}])
  mark()
  t.match(await result, { users: 0 })
  const nobodys = multicasts.deliver({ group: 'other', except: new Set() }, payload, call)!.result
  t.same(flush(), [])
  mark()
  t.match(await nobodys, { users: 0, connections: 0 })
})

test('a multicast is published again when the broker may not have it, when no answer comes, and to a new inbox', t => {
  const { multicasts, peers, flush, pass } = start()
  peers.pop()
  multicasts.deliver(everybody, payload, new MemoryMessage())
  flush()[0]!.done('unknown')
  pass(1)
  t.equal(flush().length, 1, 'unknown')
  pass(999)
  t.equal(flush().length, 0)
  pass(2)
  const [again] = flush()
  t.match(again, { item: { relay: 1 } }, 'no answer')
  multicasts.peerMoved(peers[0]!)
  t.equal(flush().length, 1, 'a new inbox of the peer')
  multicasts.resume(false)
  t.equal(flush().length, 0)
  multicasts.resume(true)
  t.equal(flush().length, 1, 'a new inbox here')
  t.end()
})

test('a multicast that is published again after so long that a peer may have forgotten it is marked', t => {
  const { multicasts, peers, flush, pass } = start()
  peers.pop()
  multicasts.deliver(everybody, payload, new MemoryMessage())
  const marks = [flush()]
  for (const milliseconds of [2_999, 1_001]) {
    pass(milliseconds)
    marks.push(flush())
  }
  t.same(marks.map(published => published.map(({ item }) => (item as { redelivered?: true }).redelivered)), [[undefined], [undefined], [true]])
  t.end()
})

test('a confirm that comes when a multicast is to be published again does not take its deadline', t => {
  const { multicasts, peers, flush, pass } = start()
  peers.pop()
  multicasts.deliver(everybody, payload, new MemoryMessage())
  const [first] = flush()
  pass(1_001)
  first!.done('routed')
  t.equal(flush().length, 1, 'published again')
  pass(1_001)
  t.equal(flush().length, 1, 'and again, while no answer comes')
  t.end()
})

test('a peer that is gone is not waited for, and asked again when it is back before that is known', async t => {
  const { deliver, multicasts, peers, flush, mark } = start()
  const result = deliver(call)
  flush()
  mark()
  multicasts.receive('a', [1, 'counted', 1, 1, one])
  const [, gone] = peers.splice(1, 1, peerOf('b')) as [Peer, Peer?]
  multicasts.peerGone(gone ?? peerOf('b'))
  mark()
  t.same(flush().map(({ instance }) => instance), ['b'])
  multicasts.receive('b', [1, 'counted', 1, 1, one])
  t.match(await result, { users: 2 })
})

test('a call fails in time if the peers can not be reached; a message ends with its channel; both end at the close', async t => {
  const { deliver, multicasts, flush, mark, pass } = start()
  const unreachable = deliver(call)
  pass(2_001)
  await t.rejects(unreachable, { code: 'FST_NOTIFICATION_PUBLISH_TIMEOUT' })

  const slow = deliver(call)
  for (const { done } of flush()) done('routed')
  mark()
  pass(60_000)
  for (const instance of ['a', 'b']) multicasts.receive(instance, [2, 'counted', 1, 1, { acknowledged: 1 }])
  t.match(await slow, { outcomes: { acknowledged: 2 } }, 'clients that acknowledge late are waited for')

  const message = new MemoryMessage()
  const lost = deliver(message)
  message.lose()
  pass(1)
  await t.rejects(lost, { name: 'AbortError' })

  const closing = deliver(call)
  multicasts.close()
  await t.rejects(closing, { code: 'FST_NOTIFICATION_PUBLISH_FAILED' })
  await t.rejects(deliver(call), { code: 'FST_NOTIFICATION_PUBLISH_FAILED' })
})

test('a call that has failed leaves nothing behind', async t => {
  const { deliver, markerCount, pass, flush } = start()
  const failed = Array.from({ length: 3 }, () => t.rejects(deliver(call), { code: 'FST_NOTIFICATION_PUBLISH_TIMEOUT' }))
  t.equal(markerCount(), 3)
  pass(2_001)
  await Promise.all(failed)
  t.equal(markerCount(), 0)
  t.same(flush(), [])
})

test('what the broker could refuse is not published: it fails, is counted, and nobody waits for it', async t => {
  const { multicasts, peers, flush, mark, markerCount, unsent } = start()
  const large = composePayload('"'.repeat(6_000_000))
  await t.rejects(multicasts.deliver(everybody, large, call)!.result, { code: 'FST_NOTIFICATION_TOO_LARGE', statusCode: 413 })
  await t.rejects(multicasts.deliver({ group: 'g', except: new Set() }, large, new MemoryMessage())!.result, { code: 'FST_NOTIFICATION_TOO_LARGE' })
  t.same(unsent, ['multicast too-large', 'multicast too-large'])
  t.same(flush(), [])
  t.equal(markerCount(), 0)

  const nobodys = multicasts.deliver({ group: 'other', except: new Set() }, large, call)!
  mark()
  t.match(await nobodys.result, { users: 0 }, 'no instance has the group')
  multicasts.deliver(everybody, payload, call)
  for (const { done } of flush()) done('routed')
  t.same(unsent.slice(2), peers.map(() => 'multicast sent'))
})

test('a call that waits for the answers of clients does not fail as something is published again, and fails if that takes too long', async t => {
  const { multicasts, peers, flush, mark, pass } = start()
  const slow = multicasts.deliver(everybody, payload, call)!.result
  for (const { done } of flush()) done('routed')
  mark()
  for (let n = 0; n < 5; n++) {
    pass(2_001) // no answer: longer than a receipt, and a call, may take
    const again = flush()
    t.same(again.map(({ instance }) => instance), ['a', 'b'])
    pass(1)
    for (const { done } of again) done('routed')
  }
  const [gone] = peers.splice(1, 1) as [Peer]
  multicasts.peerGone(gone)
  pass(1)
  mark()
  multicasts.receive('a', [1, 'counted', 1, 1, { acknowledged: 1 }])
  t.match(await slow, { outcomes: { acknowledged: 1 } })

  const lost = multicasts.deliver(everybody, payload, call)!.result
  flush()[0]!.done('routed')
  mark()
  pass(1_001)
  pass(2_001)
  await t.rejects(lost, { code: 'FST_NOTIFICATION_PUBLISH_TIMEOUT' })
})

test('a multicast that arrives again is delivered once, and answered again', async t => {
  const replies: Array<readonly [string, Counted]> = []
  const deliveries: Array<(summary: Summary) => void> = []
  const stopped: Array<ReadonlySet<Payload>> = []
  const payloads: Payload[] = []
  const multicasts = new IncomingMulticasts({
    receiptTimeout: 1_000,
    now: () => 0,
    malformed: () => t.fail('nothing is malformed'),
    multicast (_audience, payload) {
      payloads.push(payload)
      return new Promise(resolve => { deliveries.push(resolve) })
    },
    stopAll: payloads => stopped.push(payloads),
    reply: (instance, counted) => replies.push([instance, counted])
  })
  const item = { relay: 1, id: 'x', json: '"hi"' }
  multicasts.receive('a', item)
  multicasts.receive('a', item)
  multicasts.receive('b', item)
  t.equal(deliveries.length, 2, 'one for each instance')
  deliveries[0]!({ users: 1, connections: 2, outcomes: { sent: 1 } })
  await Promise.resolve()
  const receipt = ['a', [1, 'counted', 1, 2, { sent: 1 }]]
  t.same(replies, [receipt])
  multicasts.receive('a', item)
  t.same(replies, [receipt, receipt])
  t.equal(deliveries.length, 2)
  multicasts.stop('a', [1])
  multicasts.stop('b', [1, 2])
  t.same(stopped.map(payloads => [...payloads]), [[], [payloads[1]]], 'only what has no outcome, of the instance that says so')
})

test('fault 90: peers that have not answered are told to wait no more, as often as it is asked', async t => {
  const { multicasts, flush, mark, stopped } = start()
  const elsewhere = multicasts.deliver(everybody, payload, new MemoryMessage())!
  const published = flush()
  mark()
  elsewhere.stop()
  t.same([stopped, elsewhere.isWithPeers], [[], false], 'the broker may not have it yet')
  for (const { done } of published) done('routed')
  t.ok(elsewhere.isWithPeers)
  elsewhere.stop()
  t.same(stopped.splice(0), ['a 1', 'b 1'])
  multicasts.receive('a', [1, 'counted', 1, 1, { offline: 1 }])
  elsewhere.stop()
  t.same(stopped.splice(0), ['b 1'])
  multicasts.receive('b', [1, 'counted', 1, 1, { acknowledged: 1 }])
  t.match(await elsewhere.result, { outcomes: { offline: 1, acknowledged: 1 } })
  elsewhere.stop()
  t.same(stopped, [])
})
