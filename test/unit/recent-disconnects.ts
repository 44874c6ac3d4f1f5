import { test } from 'tap'
import { closeCodes } from '../../src/close-codes.js'
import { RecentDisconnects } from '../../src/websocket/recent-disconnects.js'

const forGood = { code: closeCodes.disconnected, reason: 'signed out' }
const toComeBack = { code: closeCodes.expired, reason: 'new credentials are needed' }

test('who is on the way in when several disconnects come is closed for good if one of them says so', t => {
  const recent = new RecentDisconnects(1_000, () => 5)
  recent.add('123', toComeBack)
  recent.add('123', { ...forGood, sessionId: 'phone' })
  t.match(recent.since({ userId: '123', sessionId: 'phone' }, 5), forGood)
  t.match(recent.since({ userId: '123', sessionId: 'laptop' }, 5), toComeBack)
  t.equal(recent.since({ userId: '123', sessionId: 'phone' }, 6), undefined, 'whose upgrade began later')
  recent.add('456', forGood)
  recent.add('456', { ...toComeBack, sessionId: 'phone' })
  t.match(recent.since({ userId: '456', sessionId: 'phone' }, 5), forGood)
  t.end()
})

test('fault 97: what is no user id is taken for no session of a user', t => {
  const recent = new RecentDisconnects(1_000, () => 5)
  recent.add('123\nphone', forGood)
  t.equal(recent.since({ userId: '123', sessionId: 'phone' }, 5), undefined)
  t.end()
})

test('fault 97: a disconnect is remembered for as long as an upgrade may take, and of the newest 100,000 users', t => {
  let now = 0
  const recent = new RecentDisconnects(1_000, () => now)
  const isKnown = (userId: string) => recent.since({ userId }, 0) !== undefined
  recent.add('first', forGood)
  now = 1_000
  recent.add('second', forGood)
  t.ok(isKnown('first'))
  now = 1_001
  recent.add('third', forGood)
  t.same(['first', 'second', 'third'].map(isKnown), [false, true, true], 'forgotten when it is too old to matter')
  for (let n = 0; n < 99_999; n++) recent.add(`user ${n}`, forGood)
  t.same(['second', 'third', 'user 99998'].map(isKnown), [false, true, true], 'the oldest is forgotten')
  t.end()
})
