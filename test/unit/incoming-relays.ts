// What peers relay to this instance: see also cluster-schedules.ts, where several instances relay to each other.
import { test } from 'tap'
import type { Receipt, RelayedItem } from '../../src/cluster/frames.js'
import { IncomingRelays } from '../../src/cluster/incoming-relays.js'
import type { Delivery } from '../../src/delivery/delivery.js'
import type { Result } from '../../src/delivery/doors.js'
import { settleDown } from '../support/core.js'

const item = (relay: number, userId = '123'): RelayedItem => ({ relay, userId, id: `n${relay}`, json: '"hello"', position: relay })

/** Relays to an instance that has every user, and whose connections of some users wait until the test admits them. */
function openRelays () {
  const hosted: string[] = []
  const receipts: Receipt[] = []
  const waiting = new Map<string, Array<() => void>>()
  const here = new Set<string>()
  const absent = new Set<string>()
  const deferred: Array<() => void> = []
  /** What the clients of the user `slow` have not acknowledged. */
  const guests: Delivery[] = []
  const relays = new IncomingRelays({
    malformed () {},
    log: { error () {} } as never,
    receiptTimeout: 1_000,
    now: () => 0,
    defer: run => { deferred.push(run) },
    isHere: userId => here.has(userId),
    pending: userId => waiting.has(userId) ? new Promise(resolve => { waiting.get(userId)!.push(resolve) }) : undefined,
    host (delivery): Result | Promise<Result> {
      const { id, redelivered, userId } = delivery
      if (userId === 'slow') {
        guests.push(delivery)
        return delivery.result
      }
      if (id === 'n3' && userId === 'failing') throw new Error('it fails')
      if (absent.has(userId)) return { outcome: 'offline', connections: 0 }
      hosted.push(redelivered ? `${id} redelivered` : id)
      return { outcome: 'sent', connections: 1 }
    },
    reply: (_instance, receipt) => { receipts.push(receipt) },
    settledElsewhere () {}
  })
  const wait = (userId: string): void => { waiting.set(userId, []) }
  function admit (userId: string): void {
    const resolves = waiting.get(userId)!
    waiting.delete(userId)
    for (const resolve of resolves) resolve()
  }
  /** The turn in which connections were admitted ends. */
  async function endTurn (): Promise<void> {
    await settleDown()
    for (const run of deferred.splice(0)) run()
    await settleDown()
  }
  const promises = (userId: string) => waiting.get(userId)!.length
  return { relays, guests, hosted, receipts, here, absent, wait, admit, endTurn, promises }
}

test('a relay does not overtake those that wait for the admission of a connection, also if it arrives in the turn of the admission', async t => {
  const { relays, hosted, wait, admit, endTurn } = openRelays()
  wait('123')
  relays.receive('peer', item(1))
  relays.receive('peer', item(2))
  admit('123')
  relays.receive('peer', item(3))
  relays.receive('peer', item(4, '456'))
  t.same(hosted, ['n4'], 'other users do not wait')
  await null
  t.same(hosted, ['n4'], 'the connection is not admitted yet')
  await endTurn()
  t.same(hosted, ['n4', 'n1', 'n2', 'n3'])
  relays.receive('peer', item(5))
  t.same(hosted, ['n4', 'n1', 'n2', 'n3', 'n5'], 'nothing waits any more')
})

test('relays that wait for an admission are delivered in the order of the peer, also when it asks again for an older one', async t => {
  const { relays, hosted, wait, admit, endTurn } = openRelays()
  wait('123')
  for (const relay of [2, 4, 1, 3]) relays.receive('peer', item(relay))
  admit('123')
  await endTurn()
  t.same(hosted, ['n1', 'n2', 'n3', 'n4'])
})

test('a relay that a peer repeats while it waits for an admission waits once', async t => {
  const { relays, hosted, receipts, wait, admit, endTurn, promises } = openRelays()
  wait('123')
  for (let round = 0; round < 100; round++) {
    relays.receive('peer', item(1))
    relays.receive('other peer', item(1))
  }
  t.equal(promises('123'), 1)
  admit('123')
  await endTurn()
  t.equal(hosted.length, 2, 'one of each peer')
  t.equal(receipts.length, 2)
})

test('a relay that is repeated as redelivered while it waits is delivered as redelivered', async t => {
  const { relays, hosted, wait, admit, endTurn } = openRelays()
  wait('123')
  relays.receive('peer', item(1))
  relays.receive('peer', { ...item(1), redelivered: true })
  admit('123')
  await endTurn()
  t.same(hosted, ['n1 redelivered'])
})

test('what waits for an admission is forgotten when the application closes', async t => {
  const { relays, hosted, wait, admit, endTurn } = openRelays()
  wait('123')
  relays.receive('peer', item(1))
  relays.close()
  admit('123')
  await endTurn()
  t.same(hosted, [])
})

test('a relay of a user who has a connection here does not wait for another one', async t => {
  const { relays, hosted, here, wait } = openRelays()
  wait('123')
  here.add('123')
  relays.receive('peer', item(1))
  t.same(hosted, ['n1'])
})

test('a relay that was refused is refused again when it comes again, and considered anew when the peer asks anew', async t => {
  const { relays, hosted, receipts, absent } = openRelays()
  absent.add('123')
  relays.receive('peer', { ...item(1), attempt: 1 })
  absent.delete('123')
  relays.receive('peer', { ...item(1), attempt: 1 })
  t.same(hosted, [], 'newer ones may have been delivered since then')
  t.same(receipts.splice(0), [[1, 'nobody', 0], [1, 'nobody', 0]])
  relays.receive('peer', { ...item(1), attempt: 2 })
  t.same(hosted, ['n1'])
  t.same(receipts, [[1, 'sent', 1]])
})

test('a relay of a peer that does not count its attempts is considered anew each time', async t => {
  const { relays, hosted, absent } = openRelays()
  absent.add('123')
  relays.receive('peer', item(1))
  absent.delete('123')
  relays.receive('peer', item(1))
  t.same(hosted, ['n1'])
  relays.receive('peer', { ...item(2), after: 1 })
  t.same(hosted, ['n1', 'n2'], 'what came before it is refused no more')
})

test('a relay that another instance may have delivered meanwhile is marked', async t => {
  const { relays, guests } = openRelays()
  relays.receive('peer', item(1, 'slow'))
  t.notOk(guests[0]!.redelivered)
  relays.receive('peer', { ...item(1, 'slow'), redelivered: true })
  t.ok(guests[0]!.redelivered)
})

test('a relay that was settled elsewhere has no other outcome', async t => {
  const { relays, guests, receipts } = openRelays()
  relays.receive('peer', item(1, 'slow'))
  relays.settled('peer', 1, 'acknowledged')
  guests[0]!.settle('offline')
  await settleDown()
  t.same(receipts, [[1, 'taken', 0]])
})

test('a relay that is behind a refused one is refused', async t => {
  const { relays, hosted, receipts, absent } = openRelays()
  absent.add('123')
  relays.receive('peer', { ...item(1), attempt: 1 })
  absent.delete('123')
  relays.receive('peer', { ...item(2), after: 1, afterAttempt: 1 })
  t.same(hosted, [])
  t.same(receipts, [[1, 'nobody', 0], [2, 'nobody', 0]])
})

test('a relay that is behind a lost one has no answer, so that the peer sends both again', async t => {
  const { relays, hosted, receipts, absent } = openRelays()
  absent.add('123')
  relays.receive('peer', { ...item(1), attempt: 1 })
  absent.delete('123')
  receipts.length = 0
  const behind = { ...item(2), after: 1, afterAttempt: 2 }
  relays.receive('peer', behind) // the second attempt was lost
  relays.receive('other peer', { ...item(2), after: 1 })
  t.same([hosted, receipts], [[], []])
  relays.receive('peer', { ...item(1), attempt: 2 })
  relays.receive('peer', behind)
  t.same(hosted, ['n1', 'n2'])
})

test('a relay that the peer has connections for is behind a lost one, and not behind one that was refused', async t => {
  const { relays, hosted, receipts, absent } = openRelays()
  const behind = { ...item(2), behind: 1 }
  relays.receive('peer', behind)
  t.same([hosted, receipts], [[], []], 'the first one was lost')
  absent.add('123')
  relays.receive('peer', { ...item(1), attempt: 1 })
  absent.delete('123')
  relays.receive('peer', behind)
  t.same(hosted, ['n2'], 'the first one is not asked for again')
})

test('a relay that is behind one that could not be delivered does not wait for it', async t => {
  const { relays, hosted } = openRelays()
  relays.receive('peer', { ...item(1), json: '"broken' })
  relays.receive('peer', { ...item(2), after: 1 })
  relays.receive('peer', item(3, 'failing'))
  relays.receive('peer', { ...item(4, 'failing'), after: 3 })
  t.same(hosted, ['n2', 'n4'])
})
