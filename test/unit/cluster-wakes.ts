// Who is told that the hold has something new.
import { test } from 'tap'
import { Peer } from '../../src/cluster/peer.js'
import { Wakes } from '../../src/cluster/wakes.js'
import type { Published } from '../../src/cluster/wire.js'

for (const lost of ['unknown', 'returned'] as const) {
  test(`a peer that may not have been told (${lost}) is told again`, t => {
    const told: Array<{ instance: string, users: string, done (published: Published): void }> = []
    const wakes = new Wakes({
      schedule () {},
      afterMarker: callback => callback(),
      peersOf: () => [new Peer({ from: 'peer', inbox: 'inbox', term: 1, seq: 0 }, 0)],
      publish: (instance, users, done) => { told.push({ instance, users, done }) }
    })
    wakes.add('123')
    wakes.flush()
    told[0]!.done(lost) // it had another inbox by then
    wakes.resume()
    wakes.flush()
    told[1]!.done('routed')
    wakes.resume()
    wakes.flush()
    t.match(told, [{ instance: 'peer', users: '["123"]' }, { instance: 'peer', users: '["123"]' }])
    t.equal(told.length, 2)
    t.end()
  })
}
