// Who is told that the hold has something new.
import { test } from 'tap'
import { decodeFrame, MAX_USERS, type Frame } from '../../src/cluster/frames.js'
import { Peer } from '../../src/cluster/peer.js'
import { Wakes } from '../../src/cluster/wakes.js'
import { EVERYBODY, type Published } from '../../src/cluster/wire.js'
import { startLoneCore } from '../support/lone-core.js'

interface Told { to: string, users: string, done (published: Published): void }

/** The wakes of an instance that knows of one user at two peers, and of another one at one of them. */
function startWakes (afterMarker = (callback: () => void) => callback()) {
  const [peer, otherPeer] = ['peer', 'other peer'].map(from => new Peer({ from, inbox: `inbox of ${from}`, term: 1, seq: 0 }, 0)) as [Peer, Peer]
  const told: Told[] = []
  const wakes = new Wakes({
    schedule () {},
    afterMarker,
    peersOf: userId => userId === 'known' ? [peer] : userId === 'known twice' ? [peer, otherPeer] : [],
    publish: (to, users, done) => { told.push({ to, users, done }) }
  })
  const wake = (userId: string) => {
    wakes.add(userId)
    wakes.flush()
  }
  return { wakes, wake, peer, told }
}

for (const lost of ['unknown', 'returned'] as const) {
  for (const userId of ['known', 'unknown']) {
    test(`whoever may not have been told (${lost}) of an ${userId} user is told again`, t => {
      const { wakes, wake, told } = startWakes()
      wake(userId)
      told[0]!.done(lost)
      wakes.resume()
      wakes.flush()
      told[1]!.done('routed')
      wakes.resume()
      wakes.flush()
      const to = userId === 'known' ? 'peer' : EVERYBODY
      t.match(told, [{ to, users: `["${userId}"]` }, { to, users: `["${userId}"]` }])
      t.equal(told.length, 2)
      t.end()
    })
  }
}

test('each peer is told that is known to have a user, and of its users alone', t => {
  const { wakes, told } = startWakes()
  for (const userId of ['known', 'known twice']) wakes.add(userId)
  wakes.flush()
  t.match(told, [{ to: 'peer', users: '["known","known twice"]' }, { to: 'other peer', users: '["known twice"]' }])
  t.end()
})

test('no more users are told of at once than a peer takes, and all of them count', t => {
  const { wakes, told } = startWakes()
  let isTold = false
  for (let n = 0; n <= MAX_USERS; n++) wakes.add(String(n), () => { isTold = true })
  wakes.flush()
  t.same(told.map(({ users }) => JSON.parse(users).length), [MAX_USERS, 1])
  told[1]!.done('routed')
  t.notOk(isTold)
  told[0]!.done('routed')
  t.ok(isTold)
  t.end()
})

test('all are told of a user who is not known to be anywhere, and a peer that announces the user before the marker is back', t => {
  let markerIsBack = () => {}
  const { wake, wakes, peer, told } = startWakes(callback => { markerIsBack = callback })
  wake('unknown')
  wakes.arrived('unknown', peer)
  markerIsBack()
  wakes.arrived('unknown', peer)
  t.match(told, [{ to: EVERYBODY, users: '["unknown"]' }, { to: 'peer', users: '["unknown"]' }])
  t.equal(told.length, 2)
  t.end()
})

test('a peer that announces a user is told until the marker is back that was requested last', t => {
  const markers: Array<() => void> = []
  const { wake, wakes, peer, told } = startWakes(callback => { markers.push(callback) })
  wake('unknown')
  wake('unknown')
  t.equal(markers.length, 1)
  markers[0]!()
  wakes.arrived('unknown', peer)
  markers[1]!()
  wakes.arrived('unknown', peer)
  t.same(told.map(({ to }) => to), [EVERYBODY, EVERYBODY, 'peer'])
  t.end()
})

test('a peer that has announced a user, and may not have been told, is told again', t => {
  const { wake, wakes, peer, told } = startWakes(() => {})
  wake('unknown')
  told[0]!.done('routed')
  wakes.arrived('unknown', peer)
  told[1]!.done('unknown')
  wakes.resume()
  wakes.flush()
  t.same(told.map(({ to }) => to), [EVERYBODY, 'peer', EVERYBODY])
  t.end()
})

test('whoever waits until the peers are told waits until the broker has it for all of them', t => {
  const { wakes, told } = startWakes()
  const ends: string[] = []
  wakes.add('known', () => ends.push('known'))
  wakes.add('unknown', () => ends.push('unknown'))
  wakes.flush()
  told[0]!.done('routed')
  told[1]!.done('returned')
  t.same(ends, [], 'one of them was lost')
  wakes.resume()
  wakes.flush()
  told[2]!.done('routed')
  t.same(ends, ['known', 'unknown'])
  t.equal(told.length, 3)
  t.end()
})

test('during an alarm nobody waits until the peers are told', t => {
  const { wakes, told } = startWakes()
  const ends: string[] = []
  for (const end of ['lost', 'unconfirmed']) {
    wakes.add('known', () => ends.push(end))
    wakes.flush()
  }
  told[0]!.done('unknown')
  wakes.add('known', () => ends.push('new'))
  wakes.release()
  t.same(ends, ['lost', 'unconfirmed', 'new'])
  wakes.resume()
  wakes.flush()
  t.equal(told.length, 3, 'they are told after it')
  for (const { done } of told.slice(1)) done('routed')
  t.equal(ends.length, 3, 'each ends once')
  t.end()
})

test('what was not confirmed when an alarm began, and is lost then, is told again', t => {
  const { wakes, wake, told } = startWakes()
  wake('known')
  wakes.release()
  told[0]!.done('unknown')
  wakes.resume()
  wakes.flush()
  t.equal(told.length, 2)
  t.end()
})

test('while no marker comes back, what waits for one does not pile up', t => {
  let markers = 0
  const { wake } = startWakes(() => { markers++ })
  for (let n = 0; n < 100; n++) wake('known')
  t.equal(markers, 1)
  t.end()
})

test('an instance that is closing tells all what was held last', t => {
  const wakes: string[] = []
  const core = startLoneCore(t, { publish: (to, json) => { if (JSON.parse(json).kind === 'wake') wakes.push(to + JSON.parse(json).body) } })
  core.opened('inbox')
  const presence = { v: 1, from: 'peer', inbox: 'its inbox', term: 1, seq: 1, kind: 'presence', body: { here: ['123'], gone: [], more: 0 } }
  core.receive(decodeFrame(Buffer.from(JSON.stringify(presence)), true) as Frame)
  core.leave() // from now on it does not learn of other peers that have the user
  core.peers.wake('123')
  core.close()
  t.same(wakes, [EVERYBODY + '123'])
  t.end()
})

test('what is held while the broker has an alarm is settled without waiting for its end', t => {
  const deferred: Array<() => void> = []
  const core = startLoneCore(t, { publish: () => t.fail('nothing is published'), state: 'blocked', defer: run => { deferred.push(run) } })
  let isTold = false
  core.peers.wake('123', () => { isTold = true })
  for (const run of deferred.splice(0)) run()
  t.ok(isTold)
  t.end()
})

test('a peer that learns that something is held settles its message: the others are told before', t => {
  const kinds: string[] = []
  const core = startLoneCore(t, { publish: (_to, json) => { kinds.push(JSON.parse(json).kind) } })
  core.opened('inbox')
  const presence = { v: 1, from: 'peer', inbox: 'its inbox', term: 1, seq: 1, kind: 'presence', body: { here: ['123'], gone: [], more: 0 } }
  core.receive(decodeFrame(Buffer.from(JSON.stringify(presence)), true) as Frame)
  const relay = { ...presence, kind: 'relay', body: [{ relay: 1, userId: '456', id: 'a', json: '1', position: 1 }] }
  core.receive(decodeFrame(Buffer.from(JSON.stringify(relay)), false) as Frame)
  core.peers.wake('456')
  core.close()
  t.same(kinds.filter(kind => kind === 'wake' || kind === 'receipts'), ['wake', 'receipts'])
  t.end()
})

test('what may have been lost is told again also while nothing can be received', t => {
  const wakes: string[] = []
  const deferred: Array<() => void> = []
  const core = startLoneCore(t, {
    defer: run => { deferred.push(run) },
    publish (to, json, done) {
      if (JSON.parse(json).kind !== 'wake') return
      wakes.push(to)
      done(wakes.length === 1 ? 'unknown' : 'routed')
    }
  })
  core.opened('inbox')
  core.suspend()
  let isTold = false
  core.peers.wake('123', () => { isTold = true })
  for (const run of deferred.splice(0)) run()
  t.notOk(isTold)
  core.tick()
  for (const run of deferred.splice(0)) run()
  t.ok(isTold)
  t.same(wakes, [EVERYBODY, EVERYBODY])
  t.end()
})
