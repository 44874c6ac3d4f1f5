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
