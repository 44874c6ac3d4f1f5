// What must not fill a stack, or take quadratic time, however much of it there is.
import { test } from 'tap'
import { Announcer } from '../src/cluster/announcer.js'
import { PeerTable } from '../src/cluster/peer-table.js'
import { setUpLines } from './support/lines.js'

const users = Array.from({ length: 200_000 }, (_, n) => `u${n}`)

test('200,000 users are announced to a new peer in frames of 5,000, and those who have gone meanwhile are not', t => {
  const announced: string[][] = []
  const announcer = new Announcer({
    publish (presence) { announced.push((JSON.parse(presence) as { here: string[] }).here) },
    peers: () => [],
    mayWelcome: () => true,
    schedule () {},
    later (_milliseconds, run) { run() },
    lost () {},
    begun () {},
    announced () {}
  })
  for (const user of users) announcer.add(user)
  for (const user of users.slice(1)) announcer.delete(user)
  const staying = users.map(user => `staying ${user}`)
  for (const user of staying) announcer.add(user)
  announcer.begin()
  t.same(announced.map(({ length }) => length), [...Array.from({ length: 40 }, () => 5_000), 1])
  t.same(announced.flat(), [users[0], ...staying])
  t.end()
})

test('what a peer has announced of 200,000 users is known in their number, and gone with it', t => {
  const table = new PeerTable({ instance: 'this one', now: () => 0, found () {}, ask () {}, arrived () {}, usersKnown () {}, receipts () {}, synced () {}, moved () {}, changed () {} })
  const envelope = { from: 'peer', inbox: 'inbox', term: 1 }
  for (let part = 0; part < 40; part++) {
    table.receive({ ...envelope, seq: part + 1, kind: 'presence', body: { here: users.slice(5_000 * part, 5_000 * (part + 1)), gone: [], more: 39 - part } })
  }
  t.equal(table.userCount, users.length)
  t.ok(table.isSynced)
  table.remove(table.get('peer')!)
  t.equal(table.userCount, 0)
  t.end()
})

test('200,000 that are on their way into the hold do not keep what is in it from being given out in order', async t => {
  const { add, connect, delayAdd, kept, makeRoom, taken, takenAll } = setUpLines(t, 300_000)
  const first = kept('n0')
  add('n0', 0)
  await first
  const ids = Array.from({ length: 200_000 }, (_, n) => `n${n}`)
  const go = delayAdd(ids)
  for (const [n, id] of ids.entries()) if (n > 1) add(id, n)
  add('n1', 1) // comes back, and is older than the others
  connect()
  makeRoom(2 * ids.length)
  await takenAll(1)
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve))
  t.same(taken, ['n0'], 'what is in it already')
  go()
  await takenAll(ids.length)
  t.equal(taken.findIndex((id, n) => id !== ids[n]), -1, 'in order')
})
