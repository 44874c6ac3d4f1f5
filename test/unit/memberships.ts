// Which connections are in which groups, and what peers are told of it. The test says when peers know something.
import { test } from 'tap'
import { Groups } from '../../src/delivery/groups.js'
import { Registry } from '../../src/delivery/registry.js'
import { Admission } from '../../src/websocket/admission.js'
import type { Connection } from '../../src/websocket/connection.js'
import { Memberships } from '../../src/websocket/memberships.js'
import { MemorySubscriber, settleDown } from '../support/core.js'

const connection = (userId: string) => new MemorySubscriber(userId, true) as unknown as Connection

function start (maximum = 2) {
  const groups = new Groups<Connection>()
  const registry = new Registry<Connection>()
  const left: string[] = []
  const welcomed: Connection[] = []
  /** What peers do not know yet, and how the test says that they do. */
  const unknown = new Map<string, () => void>()
  const announce = (entry: string) => new Promise<void>(resolve => { unknown.set(entry, resolve) })
  const admission = new Admission({
    registry,
    memberships: new Memberships({ groups, maximum, opening: group => announce(`group ${group}`), left: group => left.push(group) }),
    opening: userId => registry.of(userId).length > 0 ? undefined : announce(userId),
    left () {},
    admitted: connection => welcomed.push(connection)
  })
  async function know (entry: string): Promise<void> {
    unknown.get(entry)!()
    await settleDown()
  }
  return { admission, groups, left, welcomed, know }
}

test('a connection is welcomed, and gets what is for its groups, when peers know of its user and of each group', async t => {
  const { admission, groups, welcomed, know } = start()
  const tab = connection('a')
  admission.enter(tab, ['g', 'h'])
  for (const entry of ['a', 'group g']) await know(entry)
  t.same([welcomed.length, groups.of('g').of('a').length], [0, 0])
  await know('group h')
  t.same([welcomed, groups.of('g').of('a'), groups.of('h').of('a')], [[tab], [tab], [tab]])

  const next = connection('a')
  admission.enter(next, ['i'])
  await settleDown()
  t.equal(welcomed.length, 1, 'the user is known, the group is not')
  await know('group i')
  t.equal(welcomed[1], next)
})

test('a user who joins a group gets what is for it at once on this instance, and is told when peers know', async t => {
  const { admission, groups, know } = start()
  const tab = connection('a')
  admission.enter(tab, [])
  await know('a')
  const { count, reachable } = admission.join('a', 'g')
  t.same([count, groups.of('g').of('a')], [1, [tab]])
  let isReachable = false
  reachable.then(() => { isReachable = true })
  await settleDown()
  t.notOk(isReachable)
  await know('group g')
  t.ok(isReachable)
})

test('peers are told that a group is left with its last connection: by leave(), and when connections end', async t => {
  const { admission, groups, left, know } = start()
  const [a, b, c] = ['a', 'b', 'c'].map(connection) as [Connection, Connection, Connection]
  for (const tab of [a, b, c]) admission.enter(tab, ['g'])
  for (const entry of ['a', 'b', 'group g']) await know(entry)
  t.equal(admission.leaveGroup('a', 'g'), 1)
  admission.leave(b)
  admission.leave(b)
  t.same([left, groups.of('g').users.size], [[], 0], 'the third one waits for its welcome')
  admission.leave(c)
  t.same(left, ['g'])
  admission.leaveGroup('a', 'g')
  admission.leave(a)
  t.same(left, ['g'], 'once')
})

test('a connection may be in so many groups; one more is refused, and nothing changes for the others of its user', async t => {
  const { admission, groups, know } = start(2)
  const [full, empty] = [connection('a'), connection('a')]
  admission.enter(full, ['g', 'h'])
  for (const entry of ['a', 'group g', 'group h']) await know(entry)
  admission.enter(empty, [])
  t.throws(() => admission.join('a', 'i'), { code: 'FST_NOTIFICATION_TOO_MANY_GROUPS' })
  t.equal(groups.of('i').users.size, 0)
  t.equal(admission.join('a', 'g').count, 2, 'a group that it is in already')
  t.same(groups.of('g').of('a'), [full, empty])
})
