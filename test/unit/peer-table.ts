// What an instance believes of its peers, and what whoever has its login can make it believe for a while.
import { test } from 'tap'
import type { Frame } from '../../src/cluster/frames.js'
import { Peer } from '../../src/cluster/peer.js'
import { PeerTable } from '../../src/cluster/peer-table.js'

type Body = Partial<Frame> & Pick<Frame, 'kind'>

function openTable () {
  const asked: number[] = []
  const clock = { now: 0 }
  const table = new PeerTable({
    instance: 'this one',
    now: () => clock.now,
    found () {},
    ask: (_peer, question) => { asked.push(question) },
    arrived () {},
    usersKnown () {},
    receipts () {},
    synced () {},
    moved () {},
    changed () {}
  })
  const receive = (frame: Body) => table.receive({ from: 'peer', inbox: 'inbox', term: 1, seq: 1, body: null, ...frame } as Frame)
  const announce = (seq: number, ...here: string[]) => receive({ kind: 'presence', seq, body: seq === 1 ? { here, gone: [], more: 0 } : { here, gone: [] } })
  /** The answer to the newest question. */
  const answer = (seq: number, ...users: string[]) => receive({ kind: 'state', seq, body: { answers: asked.at(-1)!, users, part: 0, more: 0 } })
  /** A second goes by. */
  function wait (): void {
    clock.now += 1_000
    table.tick()
  }
  return { table, asked, receive, announce, answer, wait }
}

test('a forged number of an announcement is believed until the peer answers', async t => {
  const { table, asked, receive, announce, answer, wait } = openTable()
  announce(1, 'a')
  t.ok(table.isSynced)
  receive({ kind: 'beat', seq: Number.MAX_SAFE_INTEGER })
  t.notOk(table.isSynced)
  wait()
  t.equal(asked.length, 1)
  announce(2, 'b')
  answer(2, 'a', 'b')
  t.ok(table.isSynced)
  announce(3, 'c')
  t.ok(table.isSynced)
  for (const userId of ['a', 'b', 'c']) t.equal(table.of(userId).length, 1, userId)
})

test('groups are no users: they are not counted, and a group is no user of the same name', async t => {
  const { table, announce, receive } = openTable()
  announce(1, 'a', '\na', '\nteam')
  t.equal(table.userCount, 1)
  t.equal(table.of('team').length, 0)
  receive({ kind: 'presence', seq: 2, body: { here: [], gone: ['\nteam', 'a'] } })
  t.equal(table.userCount, 0)
  t.same([table.of('a').length, table.of('\na').length], [0, 1])
})

test('an answer does not end the wait for an announcement that was mentioned after the question', async t => {
  const { table, receive, announce, answer, wait } = openTable()
  announce(1, 'a')
  receive({ kind: 'beat', seq: 2 })
  wait()
  receive({ kind: 'beat', seq: 3 })
  answer(2, 'a', 'b')
  t.notOk(table.isSynced)
  announce(3, 'c')
  t.ok(table.isSynced)
})

test('a forged term is believed until the peer answers', async t => {
  const { table, asked, receive, announce, answer, wait } = openTable()
  announce(1, 'a')
  receive({ kind: 'beat', term: Number.MAX_SAFE_INTEGER })
  t.equal(asked.length, 1)
  t.equal(announce(2, 'b'), false, 'it seems to be of a former term')
  answer(2, 'a', 'b')
  for (let n = 0; n < 2; n++) {
    wait()
    answer(2, 'a', 'b')
  }
  receive({ kind: 'beat', seq: 2 })
  t.ok(table.isSynced)
  announce(3, 'c')
  for (const userId of ['a', 'b', 'c']) t.equal(table.of(userId).length, 1, userId)
})

test('an answer to a question of before a new term does not bring back the former one', async t => {
  const { table, receive, answer, wait } = openTable()
  receive({ kind: 'beat' })
  wait()
  receive({ kind: 'presence', term: 2, body: { here: ['b'], gone: [], more: 0 } })
  t.equal(answer(1, 'a'), false)
  t.ok(table.isSynced)
  t.equal(table.of('a').length, 0)
  t.equal(table.of('b').length, 1)
})

test('parts of a state that nobody has asked for, or that never end, are not kept', async t => {
  const { table, asked, receive, answer } = openTable()
  receive({ kind: 'beat' })
  const part = (answers: number, part: number) => receive({ kind: 'state', body: { answers, users: [`user-${part}`], part, more: 999 } })
  for (let n = 0; n < 5_000; n++) part(asked.at(-1)! + 1, n)
  const peer = table.get('peer')!
  t.equal(peer.gathered, undefined)
  part(asked.at(-1)!, 0)
  for (let n = 0; n < 5_000; n++) part(asked.at(-1)!, 7)
  t.equal(peer.gathered?.size, 1)
  answer(1, 'a')
  t.ok(table.isSynced)
  t.same([table.userCount, table.of('a').length], [1, 1])
})

test('announcements that begin a term and never end are not kept', async t => {
  const { table, receive } = openTable()
  for (let seq = 1; seq <= 3_000; seq++) receive({ kind: 'presence', seq, body: { here: [`user-${seq}`], gone: [], more: 999 } })
  t.ok(table.get('peer')!.beginning!.size <= 1_000)
})

test('there is a limit to the peers', async t => {
  const { table, receive } = openTable()
  for (let n = 0; n < 2_000; n++) receive({ kind: 'beat', from: `peer-${n}` })
  t.equal(table.peers.length, 1_000)
})

const hung = { instance: 'hung', inbox: 'its inbox', term: 3 }
const peers = [hung, { ...hung, instance: 'this one' }, { ...hung, instance: 'peer' }]

for (const [what, tell] of [
  ['that begins a term', ({ receive }) => receive({ kind: 'presence', body: { here: [], gone: [], more: 0, peers } })],
  ['that answers a question', ({ asked, receive }) => {
    receive({ kind: 'beat' })
    receive({ kind: 'state', body: { answers: asked.at(-1)!, users: [], part: 0, more: 0, peers } })
  }]
] satisfies Array<[string, (opened: ReturnType<typeof openTable>) => void]>) {
  test(`a peer of which nothing was heard is known from what another one says ${what}, and is asked for its users`, async t => {
    const opened = openTable()
    const { table, asked, receive } = opened
    tell(opened)
    t.same(table.peers.map(({ instance }) => instance), ['peer', 'hung'])
    t.notOk(table.isSynced)
    const frame = { from: 'hung', inbox: 'its inbox', term: 3, seq: 2 }
    receive({ ...frame, kind: 'state', body: { answers: asked.at(-1)!, users: ['a'], part: 0, more: 0 } })
    receive({ ...frame, kind: 'beat' })
    t.ok(table.isSynced)
    t.equal(table.of('a').length, 1)
  })
}

test('a peer that another one still knows is gone when the broker does not know its inbox', async t => {
  const { table, receive } = openTable()
  receive({ kind: 'presence', body: { here: [], gone: [], more: 0, peers: [hung] } })
  table.remove(table.get('hung')!)
  t.ok(table.isSynced)
})

test('there is a limit to the peers that others know', async t => {
  const { table, receive } = openTable()
  for (let n = 0; n < 3; n++) {
    const peers = Array.from({ length: 500 }, (_, k) => ({ ...hung, instance: `peer-${n}-${k}` }))
    receive({ kind: 'presence', from: `peer-${n}`, body: { here: [], gone: [], more: 0, peers } })
  }
  t.equal(table.peers.length, 1_000)
})

test('there is a limit to what waits for an earlier announcement', async t => {
  const peer = new Peer({ from: 'peer', inbox: 'inbox', term: 1, seq: 0 }, 0)
  const here = Array.from({ length: 5_000 }, (_, n) => `user-${n}`)
  for (let seq = 1; seq <= 200; seq++) peer.keepEarly(seq, { here, gone: [] })
  let kept = 0
  for (; peer.takeNext() !== undefined; kept++) peer.applied++
  t.equal(kept, 100)
  for (let n = 0; n < 200; n++) peer.defer({ from: 'peer', inbox: 'inbox', term: 1, seq: 1_000, kind: 'receipts', body: new Array(1_000).fill([1, 'taken', 1]) })
  peer.isComplete = true
  peer.applied = 1_000
  t.equal(peer.takeDeferred().length, 100)
})

test('of a former term, only what makes no difference in the next one is handled', t => {
  const { table, receive, announce } = openTable()
  receive({ kind: 'presence', term: 2, seq: 1, body: { here: ['a'], gone: [], more: 0 } })
  t.notOk(announce(2, 'b'))
  t.notOk(receive({ kind: 'relay', body: [] }), 'it is sent again')
  t.notOk(receive({ kind: 'receipts', body: [] }))
  t.ok(receive({ kind: 'settled', body: [[1, 'sent']] }))
  t.ok(receive({ kind: 'wake', body: ['a'] }))
  t.same([table.of('a').length, table.of('b').length], [1, 0])
  t.end()
})
