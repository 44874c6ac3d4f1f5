// The relays of one user that have no outcome, however many there are.
import { test } from 'tap'
import { OpenRelays } from '../../src/cluster/open-relays.js'
import { Peer } from '../../src/cluster/peer.js'
import { Relay, type Ask } from '../../src/cluster/relay.js'
import { Delivery } from '../../src/delivery/delivery.js'
import { compose } from '../../src/delivery/notification.js'

const COUNT = 100_000

/** Far more than it takes, and far less than if each step took as long as there are relays. */
const LIMIT = 20_000

const peer = new Peer({ from: 'peer', inbox: 'inbox', term: 1, seq: 0 }, 0)
const otherPeer = new Peer({ from: 'other peer', inbox: 'other inbox', term: 1, seq: 0 }, 0)

function openRelay (relays: OpenRelays, id: number, state: Ask['state'] = 'published', asked = peer): Ask {
  const relay = new Relay(id, new Delivery(compose('123', 'hello', `n${id}`), undefined, id, Infinity), undefined, Infinity)
  const ask: Ask = { relay, peer: asked, attempt: 1, state, isAfter: false, isTaken: false, counted: 0, publishedAt: 0, answeredAt: -Infinity, deadline: Infinity }
  relay.asks = [ask]
  relays.add(relay)
  return ask
}

test('the previous relay of a user is the newest older one that was sent to the same peer and has no answer', t => {
  const relays = new OpenRelays()
  openRelay(relays, 1) // a peer answers in order: nothing is looked for behind an answer
  openRelay(relays, 2).isTaken = true
  const third = openRelay(relays, 3)
  openRelay(relays, 4, 'published', otherPeer)
  const fifth = openRelay(relays, 5, 'queued')
  const sixth = openRelay(relays, 6, 'confirmed')
  const last = openRelay(relays, 7, 'queued')
  t.equal(relays.previous(third), undefined)
  t.equal(relays.previous(fifth), third)
  t.equal(relays.previous(last), sixth)
  relays.delete(sixth.relay)
  t.equal(relays.previous(last), third)
  relays.delete(third.relay)
  t.equal(relays.previous(last), undefined)
  t.end()
})

test('a peer is asked first for what nobody has and it is not asked for, back to the newest one that it is asked for', t => {
  const relays = new OpenRelays()
  openRelay(relays, 1, 'published', otherPeer)
  openRelay(relays, 2)
  const third = openRelay(relays, 3, 'published', otherPeer)
  openRelay(relays, 4, 'published', otherPeer).isTaken = true
  const fifth = openRelay(relays, 5, 'published', otherPeer)
  t.same(relays.leftBefore(openRelay(relays, 6)).map(({ id }) => id), [fifth.relay.id, third.relay.id])
  t.end()
})

test('nothing is behind what is over', t => {
  const relays = new OpenRelays()
  openRelay(relays, 1).relay.isOver = true
  t.equal(relays.previous(openRelay(relays, 2)), undefined)
  t.end()
})

test('what a connection here has waits for a lost relay, and not for one that the peer refuses', t => {
  const relays = new OpenRelays()
  openRelay(relays, 1)
  const second = openRelay(relays, 2)
  const encode = () => {
    const { after, afterAttempt, behind } = JSON.parse(second.relay.encode(1, relays.previous(second)))
    return { after, afterAttempt, behind }
  }
  t.same(encode(), { after: 1, afterAttempt: 1, behind: undefined })
  second.relay.delivery.isSentHere = true
  t.same(encode(), { after: undefined, afterAttempt: undefined, behind: 1 })
  t.end()
})

test(`the previous one of each of ${COUNT} relays of one user is found in time, and each is deleted in time`, t => {
  const begun = performance.now()
  const relays = new OpenRelays()
  const asks = Array.from({ length: COUNT }, (_, n) => openRelay(relays, n + 1))
  t.ok(asks.every((ask, n) => relays.previous(ask) === asks[n - 1]))
  t.ok(asks.every(ask => relays.leftBefore(ask).length === 0))
  for (const { relay } of asks.toReversed()) relays.delete(relay)
  t.same([...relays], [])
  t.same(relays.of('123'), [])
  const took = performance.now() - begun
  t.ok(took < LIMIT, `${took} ms`)
  t.end()
})
