import { test } from 'tap'
import { decodeFrame, encodeFrame, MAX_BODY_BYTES, type FrameKind } from '../../src/cluster/frames.js'
import { Relay } from '../../src/cluster/relay.js'
import { Delivery } from '../../src/delivery/delivery.js'
import { compose } from '../../src/delivery/notification.js'
import { MAX_MESSAGE_BYTES } from '../../src/rabbitmq/message-size.js'

const envelope = { from: 'one', inbox: 'amq.gen-1', term: 2, seq: 3 }
const before = (delivery: Delivery) => ({ relay: new Relay(6, delivery, undefined, Infinity), attempt: 2 })
const encode = (delivery: Delivery, trace?: Record<string, string>) => `[${new Relay(7, delivery, trace, Infinity).encode(1, before(delivery))}]`
const toAll = ['presence', 'beat', 'leave', 'membership', 'disconnect', 'signout', 'broadcast']

/** Decodes a frame that came the way that its kind goes, or the other way. */
function decode (frame: unknown, isRightWay = true): unknown {
  const text = typeof frame === 'string' ? frame : JSON.stringify(frame)
  return decodeFrame(Buffer.from(text), toAll.some(kind => text.includes(`"kind":"${kind}"`)) === isRightWay)
}

for (const content of ['hello', '', 'é😀 "\\', { a: [1, null] }, null, 0]) {
  test(`what one instance relays, another one reads as it was: ${JSON.stringify(content)}`, async t => {
    const delivery = new Delivery(compose('123', content, '"id"'), undefined, 1_700_000_000_000_000, Infinity)
    const frame = decode(encodeFrame(envelope, 'relay', encode(delivery)))
    t.match(frame, { ...envelope, kind: 'relay', body: [{ relay: 7, attempt: 1, after: 6, afterAttempt: 2, userId: '123', id: '"id"', position: 1_700_000_000_000_000 }] })
    const { body: [{ json }] } = frame as unknown as { body: [{ json: string }] }
    t.same(JSON.parse(json), content)
  })
}

test('a relay is too large if RabbitMQ might refuse its frame', async t => {
  const longest = { from: 'f'.repeat(64), inbox: '"'.repeat(255), term: Number.MAX_SAFE_INTEGER, seq: Number.MAX_SAFE_INTEGER }
  for (const [unit, bytes] of [['x', 1], ['"', 4], ['\u0001', 7], ['é', 2], ['😀', 4]] as const) {
    for (const count of [MAX_BODY_BYTES / 8 / bytes, MAX_BODY_BYTES / bytes - 300, MAX_BODY_BYTES / bytes]) {
      const relay = new Relay(7, new Delivery(compose('123', unit.repeat(count), 'id'), undefined, 1_700_000_000_000_000, Infinity), undefined, Infinity)
      const isRefused = Buffer.byteLength(encodeFrame(longest, 'relay', `[${relay.encode(1, before(relay.delivery))}]`)) > 16 * 2 ** 20
      t.equal(relay.isTooLarge, count * bytes > MAX_BODY_BYTES - 200, `${count} times ${JSON.stringify(unit)}`)
      t.notOk(isRefused && !relay.isTooLarge)
    }
  }
})

test('what belongs to some deliveries alone is relayed with them', async t => {
  const delivery = new Delivery(compose('123', 'hello', 'id'), undefined, 1, 2)
  delivery.redelivered = true
  t.match(decode(encodeFrame(envelope, 'relay', encode(delivery, { traceparent: '00-1-2-01' }))), {
    body: [{ expiresAt: 2, redelivered: true, trace: { traceparent: '00-1-2-01' } }]
  })
})

const relay = { relay: 1, userId: '123', id: 'a', json: '1', position: 1 }
for (const [kind, body] of [
  ['relay', {}], ['relay', [{}]], ['relay', [{ ...relay, relay: 0 }]], ['relay', [{ ...relay, relay: 2 ** 53 }]], ['relay', [{ ...relay, id: '__proto__' }]], ['relay', [{ ...relay, json: 1 }]],
  ['relay', [{ ...relay, userId: '' }]], ['receipts', [[1, 'unheard of', 0]]], ['receipts', [[1, 'taken', -1]]], ['settled', [[1, 'taken']]],
  ['presence', { here: ['a'] }], ['presence', { here: [1], gone: [] }], ['presence', { here: new Array(5_001).fill('a'), gone: [] }],
  ['state', { users: [], part: 0, more: 0 }], ['state', { answers: 1, users: [], part: -1, more: 0 }], ['state', { answers: 1, users: [], part: 0, more: 1_000 }], ['hello', null], ['synced', null], ['mark', null],
  ['wake', null], ['wake', new Array(5_001).fill('a')], ['disconnect', { userId: '123', code: '1000', reason: '' }], ['disconnect', { userId: '123', code: 1005, reason: '' }], ['disconnect', { userId: '123', code: 4502, reason: 'é'.repeat(62) }], ['broadcast', { id: '', json: '1' }],
  ['signout', { userId: '123', code: 4502, reason: '' }], ['signout', { userId: '123', sessionId: 'x'.repeat(256), code: 4502, reason: '' }], ['signout', { userId: '123', sessionId: 'a', code: 1005, reason: '' }],
  ['counted', [[1, 'counted', 1, 1, { forged: 'text' }]]], ['counted', [[1, 'counted', 1, 1, { sent: 'text' }]]],
  ['toString', null], ['__proto__', null], ['unheard of', {}], [undefined, {}], [null, {}]
] as const) {
  test(`a frame is malformed whose kind is ${JSON.stringify(kind)} and whose body is ${JSON.stringify(body)?.slice(0, 100)}`, async t => {
    t.equal(decode({ v: 1, ...envelope, kind, body }), 'malformed')
  })
}

test('a frame is malformed whose envelope lacks something, or that is no JSON', async t => {
  const beat = { v: 1, ...envelope, kind: 'beat', body: null }
  t.match(decode(beat), { kind: 'beat' })
  for (const key of Object.keys(beat)) if (key !== 'body') t.equal(decode({ ...beat, [key]: undefined }), 'malformed', key)
  for (const wrong of [{ term: 0 }, { term: 2 ** 53 }, { seq: -1 }, { seq: 2 ** 53 }, { from: '' }, { inbox: 'x'.repeat(256) }, { v: '1' }]) t.equal(decode({ ...beat, ...wrong }), 'malformed')
  for (const text of ['', '{', '\u0000', '[1', 'null', '1', '[]']) t.equal(decode(text), 'malformed')
})

test('fault 96: a frame that is larger than any of ours is not parsed', async t => {
  const beat = JSON.stringify({ v: 1, ...envelope, kind: 'beat', body: null })
  t.match(decode(beat.padEnd(MAX_MESSAGE_BYTES)), { kind: 'beat' })
  t.equal(decode(beat.padEnd(MAX_MESSAGE_BYTES + 1)), 'too-large')
})

test('a frame of another version is told from a malformed one', async t => {
  for (const v of [0, 2, 3]) t.equal(decode({ v, anything: 'else' }), 'other-version')
})

/** A body of each kind. `hello` and `wake` go either way. */
const bodies: { readonly [Kind in Exclude<FrameKind, 'hello' | 'wake'>]: unknown } = {
  presence: { here: [], gone: [] },
  beat: null,
  leave: null,
  membership: { userId: '123', group: 'team', joins: true },
  disconnect: { userId: '123', code: 4502, reason: '' },
  signout: { userId: '123', sessionId: 'a', code: 4502, reason: '' },
  broadcast: { id: 'a', json: '1' },
  state: { answers: 1, users: [], part: 0, more: 0 },
  synced: 1,
  mark: 1,
  relay: [relay],
  receipts: [[1, 'taken', 1]],
  settled: [[1, 'sent']],
  multicast: [{ relay: 1, id: 'a', json: '1' }],
  stop: [[1, 'stop']],
  counted: [[1, 'counted', 1, 1, { sent: 1 }]]
}
for (const [kind, body] of Object.entries(bodies)) {
  test(`a frame of the kind ${kind} is malformed if it does not come ${toAll.includes(kind) ? 'to all' : 'to one'}`, async t => {
    const frame = { v: 1, ...envelope, kind, body }
    t.match(decode(frame), { kind })
    t.equal(decode(frame, false), 'malformed')
  })
}

for (const [kind, body] of Object.entries({ hello: 1, wake: ['123'] })) {
  test(`a frame of the kind ${kind} comes to all, or to one`, async t => {
    const frame = { v: 1, ...envelope, kind, body }
    t.match(decode(frame), { kind })
    t.match(decode(frame, false), { kind })
  })
}
