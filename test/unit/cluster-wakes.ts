// Who is told that the hold has something new.
import { test } from 'tap'
import { Peer } from '../../src/cluster/peer.js'
import { Wakes } from '../../src/cluster/wakes.js'
import { EVERYBODY, type Published } from '../../src/cluster/wire.js'
import { startLoneCore } from '../support/lone-core.js'

interface Told { to: string, users: string, done (published: Published): void }

/** The wakes of an instance that knows of one user at one peer. */
function startWakes (afterMarker = (callback: () => void) => callback()) {
  const peer = new Peer({ from: 'peer', inbox: 'inbox', term: 1, seq: 0 }, 0)
  const told: Told[] = []
  const wakes = new Wakes({
    schedule () {},
    afterMarker,
    peersOf: userId => userId === 'known' ? [peer] : [],
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
  wakes.add('known', () => ends.push('lost'))
  wakes.flush()
  told[0]!.done('unknown')
  wakes.add('known', () => ends.push('new'))
  wakes.release()
  t.same(ends, ['new', 'lost'])
  wakes.resume()
  wakes.flush()
  t.equal(told.length, 2, 'they are told after it')
  t.end()
})

test('an instance that is closing tells all what was held last', t => {
  const wakes: string[] = []
  const core = startLoneCore(t, { publish: (to, json) => { if (JSON.parse(json).kind === 'wake') wakes.push(to + JSON.parse(json).body) } })
  core.opened('inbox')
  core.leave()
  core.peers.wake('123')
  core.close()
  t.same(wakes, [EVERYBODY + '123'])
  t.end()
})
