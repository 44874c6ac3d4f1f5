import { readFile } from 'node:fs/promises'
import { Parser } from '@asyncapi/parser'
import { test } from 'tap'
import { text } from '../support/asyncapi/document.js'

const kept = await readFile(new URL('../asyncapi.json', import.meta.url), 'utf8')

test('asyncapi.json is what the schemas say: npm run asyncapi', t => {
  t.equal(kept, text)
  t.end()
})

test('asyncapi.json is a valid AsyncAPI document', async t => {
  const { document, diagnostics } = await new Parser().parse(kept)
  t.same(diagnostics.map(({ message, path }) => `${path.join('.')}: ${message}`), [])
  t.same(document!.operations().all().map(operation => [operation.id(), operation.action(), operation.messages().all().map(message => message.id())]), [
    ['consume', 'receive', ['message']],
    ['deadLetter', 'send', ['deadLetter']],
    ['push', 'send', ['content']],
    ['pushFrames', 'send', ['welcome', 'notification', 'dismiss', 'ping', 'pong', 'error']],
    ['acknowledge', 'receive', ['ack', 'nack', 'ping']]
  ])
  const [message] = document!.channels().get('queue')!.messages().all()
  t.match(message!.payload()!.json(), {
    required: ['content'],
    oneOf: ['userId', 'userIds', 'group', 'everybody'].map(recipient => ({ required: [recipient] })),
    properties: { userId: { anyOf: [{ anyOf: [{ maxLength: 255 }, { type: 'integer' }] }, { type: 'null' }] } }
  })
  t.match(document!.channels().get('deadLetterQueue')!.messages().all()[0]!.headers()!.properties()!['x-notification-reason']!.enum(), ['too-large', 'invalid-encoding', 'invalid-utf8', 'invalid-json', 'invalid-message', 'undecodable', 'offline', 'rejected', 'delivery-limit', 'internal-error'])
})

test('the WebSocket is described as it is: codes of the documents, and a token beside the subprotocol', async t => {
  const { description, bindings } = JSON.parse(kept).channels.webSocket
  const page = await readFile(new URL('../docs/errors.md', import.meta.url), 'utf8')
  const codes = [...page.matchAll(/^\| (\d{4}) \| .* \| .* \|$/gm)].map(([, code]) => code)
  t.ok(codes.length > 10)
  t.match(description, codes.join(', '))
  const pattern = new RegExp(bindings.ws.headers.properties['Sec-WebSocket-Protocol'].pattern)
  for (const offered of ['notification.v1', 'notification.v1, a-token', 'a-token,notification.v1']) t.match(offered, pattern)
  for (const offered of ['notification-v1', 'notification.v10', 'a-token']) t.notMatch(offered, pattern)
})
