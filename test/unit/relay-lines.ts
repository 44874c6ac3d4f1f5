// What one peer is asked to deliver, while the broker is away and when the peer leaves.
import { test } from 'tap'
import { Peer } from '../../src/cluster/peer.js'
import { RelayLines } from '../../src/cluster/relay-lines.js'
import { Relay } from '../../src/cluster/relay.js'
import type { Published } from '../../src/cluster/wire.js'
import { Delivery } from '../../src/delivery/delivery.js'
import { compose } from '../../src/delivery/notification.js'

const newPeer = () => new Peer({ from: 'peer', inbox: 'inbox', term: 1, seq: 0 }, 0)

function openLines (answersAtOnce = true) {
  const sent: number[] = []
  const clock = { now: 0 }
  /** How many waited at the last flush. */
  let waited = 0
  /** The broker's answers that the test gives. */
  const answers: Array<(published: Published) => void> = []
  const lines = new RelayLines({
    log: undefined as never,
    receiptTimeout: 1_000,
    now: () => clock.now,
    publish (_inbox, items, done) {
      for (const { relay } of JSON.parse(items)) sent.push(relay)
      if (answersAtOnce) done('routed')
      else answers.push(done)
    },
    relays: { previous: () => undefined, leftBefore: () => [] },
    isGone () {
      waited++
      return false
    },
    confirmed () {},
    returned () {},
    schedule () {}
  })
  function flush (): number {
    waited = 0
    lines.flush()
    return waited
  }
  function ask (id: number, peer: Peer, content = 'hello', userId = '123'): Relay {
    const relay = new Relay(id, new Delivery(compose(userId, content, `n${id}`), undefined, id, Infinity), undefined, 0)
    lines.ask(relay, peer)
    return relay
  }
  /** A call of notify() ends. */
  function end (relay: Relay, isSpread: boolean): void {
    relay.isOver = true
    relay.isSpread = isSpread
    lines.forget(relay)
  }
  return { lines, sent, clock, answers, flush, ask, end }
}

test('calls that fail while the broker is away do not pile up for the peer that has the user', t => {
  const { lines, sent, flush, ask, end } = openLines()
  const peer = newPeer()
  for (let id = 1; id <= 10_000; id++) {
    end(ask(id, peer), false)
    if (id % 1_000 === 0) lines.dropSettled()
  }
  ask(10_001, peer)
  lines.dropSettled()
  t.equal(flush(), 1, 'only the open one waits')
  t.same(sent, [10_001])
  t.end()
})

test('of what connections here have, the newest 1,000 wait for the connections on the peer, in order', t => {
  const { lines, sent, flush, ask, end } = openLines()
  const peer = newPeer()
  ask(1, peer)
  for (let id = 2; id <= 5_001; id++) end(ask(id, peer), true)
  lines.dropSettled()
  t.equal(flush(), 1_001)
  t.same(sent, [1, ...Array.from({ length: 1_000 }, (_, n) => 4_002 + n)])
  t.end()
})

test('of what connections here have, no more than 16 MiB waits', t => {
  const { lines, sent, flush, ask, end } = openLines()
  const peer = newPeer()
  for (let id = 1; id <= 30; id++) end(ask(id, peer, 'x'.repeat(2 ** 20)), true)
  lines.dropSettled()
  flush()
  t.same(sent, Array.from({ length: 16 }, (_, n) => 15 + n))
  t.end()
})

test('what is over before the broker has refused it for a former inbox of the peer does not come behind newer relays', t => {
  const { lines, sent, answers, flush, ask, end } = openLines(false)
  const peer = newPeer()
  const first = ask(1, peer)
  flush()
  end(first, true) // a connection here has it
  peer.begin(2, 'other inbox')
  lines.peerMoved(peer)
  ask(2, peer)
  flush()
  for (const answer of answers.splice(0)) answer('returned')
  t.same(sent, [1, 1, 2])
  t.end()
})

test('a peer that has left is forgotten when it has told all outcomes', t => {
  const { lines, flush, ask } = openLines()
  for (let n = 1; n <= 100; n++) {
    const peer = newPeer()
    const relay = ask(n, peer)
    flush()
    const asked = relay.askOf('peer')!
    asked.isTaken = true
    asked.answeredAt = 0
    peer.hasLeft = true
    t.same(lines.peerGone(peer), [], 'its clients may still acknowledge')
    lines.repeatOverdue()
    t.equal(lines.peerCount, 1, 'its outcome is awaited')
    lines.drop(asked)
    lines.repeatOverdue()
    t.equal(lines.peerCount, 0)
  }
  t.end()
})

test('in a new term a peer is asked again, in order, for what it has not answered, and with a new inbox for everything', t => {
  const { lines, sent, flush, ask } = openLines()
  const peer = newPeer()
  const relays = [1, 2, 3].map(id => ask(id, peer))
  flush()
  relays[1]!.askOf('peer')!.isTaken = true
  lines.repeat(false)
  flush()
  lines.repeat(true)
  flush()
  t.same(sent, [1, 2, 3, 1, 3, 1, 2, 3])
  t.end()
})

test('what the broker has refused is sent again, and whatever was sent behind it', t => {
  const { sent, answers, flush, ask } = openLines(false)
  const peer = newPeer()
  for (const id of [1, 2, 3]) {
    ask(id, peer)
    flush()
  }
  for (const [n, answer] of answers.splice(0).entries()) answer(n === 1 ? 'returned' : 'routed')
  flush()
  t.same(sent, [1, 2, 3, 2, 3])
  t.end()
})

test('what has no answer in time is sent again, and whatever was sent behind it: a peer does not answer that', t => {
  const { lines, sent, clock, flush, ask } = openLines()
  const peer = newPeer()
  const [first] = [1, 2].map(id => ask(id, peer))
  flush()
  first!.askOf('peer')!.isTaken = true
  clock.now = 900
  ask(3, peer)
  ask(4, peer, 'hello', '456')
  flush()
  t.same(sent.splice(0), [1, 2, 3, 4])
  clock.now = 1_000
  first!.askOf('peer')!.deadline = 1_500
  lines.repeatOverdue()
  flush()
  t.same(sent.splice(0), [2, 3], 'nothing of other users')
  clock.now = 1_500
  lines.repeatOverdue()
  flush()
  t.same(sent, [1], 'newer ones do not wait for what was taken')
  t.end()
})
