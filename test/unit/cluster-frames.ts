import { test } from 'tap'
import { decodeFrame, encodeItem } from '../../src/cluster/protocol.js'
import { Delivery } from '../../src/delivery/delivery.js'
import { compose } from '../../src/delivery/notification.js'

const decode = (type: unknown, value: unknown) => decodeFrame(type, Buffer.from(JSON.stringify(value)))

for (const content of ['hello', '', 'é😀 "\\', { a: [1, null] }, null, 0]) {
  test(`what one instance relays, another one reads as it was: ${JSON.stringify(content)}`, async t => {
    const delivery = new Delivery(compose('123', content, '"id"'), undefined, 1_700_000_000_000_000, Infinity)
    const { type, frame } = decodeFrame('relay', Buffer.from(`[${encodeItem(7, delivery, undefined)}]`))!
    t.equal(type, 'relay')
    t.match(frame, [{ relay: 7, id: '"id"', position: 1_700_000_000_000_000 }])
    const [{ json }] = frame as unknown as [{ json: string }]
    t.same(JSON.parse(json), content)
  })
}

test('what belongs to some deliveries alone is relayed with them', async t => {
  const delivery = new Delivery(compose('123', 'hello', 'id'), undefined, 1, 2)
  delivery.redelivered = true
  t.match(decodeFrame('relay', Buffer.from(`[${encodeItem(7, delivery, { traceparent: '00-1-2-01' })}]`)), {
    frame: [{ expiresAt: 2, redelivered: true, trace: { traceparent: '00-1-2-01' } }]
  })
})

for (const [type, value] of [
  ['relay', {}], ['relay', [{}]], ['relay', [{ relay: 0, id: 'a', json: '1', position: 1 }]], ['relay', [{ relay: 1, id: '__proto__', json: '1', position: 1 }]],
  ['relay', [{ relay: 1, id: 'a', json: 1, position: 1 }]], ['receipts', [[1, 'unheard of', 0]]], ['receipts', [[1, 'taken', -1]]], ['settled', [[1, 'taken']]],
  ['probe', '1'], ['wake', 1], ['disconnect', { code: '1000', reason: '' }], ['broadcast', { id: '', json: '1' }],
  ['toString', null], ['__proto__', null], ['unheard of', {}], [undefined, {}], [null, {}]
] as const) {
  test(`no frame of another instance: ${JSON.stringify(type)}, ${JSON.stringify(value)}`, async t => {
    t.equal(decode(type, value), undefined)
  })
}

test('what is not JSON is no frame of another instance', async t => {
  for (const body of ['', '{', '\u0000', '[1']) t.equal(decodeFrame('relay', Buffer.from(body)), undefined)
})
