import type { Static, TSchema } from '@sinclair/typebox'
import { closeCodes } from '../../src/close-codes.js'
import { DeadLetterHeadersSchema } from '../../src/rabbitmq/dead-letters.js'
import { MessageSchema } from '../../src/rabbitmq/fields.js'
import { AckSchema, DismissSchema, ErrorSchema, NackSchema, NotificationSchema, PingSchema, PongSchema, SUBPROTOCOL, WelcomeSchema } from '../../src/websocket/protocol.js'
import { QuerySchema } from '../../src/websocket/route-schema.js'

/** That of the formats, not of the package. */
const VERSION = '1.0.0'

/** Those of the plugin, and two with which `ws` closes by itself where a client breaks the protocol. */
const codes = [...Object.values(closeCodes), 1002, 1007].sort((a, b) => a - b)

/** What a client offers: anything that has ours among it, a token say. */
const subprotocols = {
  type: 'string',
  pattern: `(^|,)\\s*${SUBPROTOCOL.replace('.', '\\.')}\\s*(,|$)`,
  description: `\`${SUBPROTOCOL}\`, and what else the application asks for; left out by a client that takes contents`
}

/** A message of a channel, under its name in `components`. */
const message = (name: string) => ({ $ref: `#/components/messages/${name}` })
const messages = (...names: string[]) => Object.fromEntries(names.map(name => [name, message(name)]))

/** An operation on some messages of a channel, as this application sees it. */
const operation = (action: 'send' | 'receive', channel: string, summary: string, ...names: string[]) => ({
  action,
  channel: { $ref: `#/channels/${channel}` },
  summary,
  messages: names.map(name => ({ $ref: `#/channels/${channel}/messages/${name}` }))
})

const json = <Schema extends TSchema>(summary: string, payload: Schema, examples: Array<Static<Schema>>) => ({
  summary,
  contentType: 'application/json',
  payload,
  examples: examples.map(payload => ({ payload }))
})

/** The server's frames, in the order in which a client meets them; then the client's. */
const serverFrames = ['welcome', 'notification', 'dismiss', 'ping', 'pong', 'error']
const clientFrames = ['ack', 'nack', 'ping']

/** The formats as an AsyncAPI document: what is published to the queue, and what comes out of the other end. */
const document = {
  asyncapi: '3.1.0',
  info: {
    title: 'fastify-notification',
    version: VERSION,
    description: 'Messages of a RabbitMQ queue, pushed to the WebSockets of the users they are addressed to. The addresses are those of the quick start; all of them are options.',
    license: { name: 'MIT' }
  },
  servers: {
    rabbitmq: { host: 'localhost:5672', protocol: 'amqp', protocolVersion: '0.9.1' },
    websocket: { host: 'localhost:8080', protocol: 'ws', description: 'The Fastify application' }
  },
  channels: {
    queue: {
      address: 'hello',
      title: 'The queue that is consumed (option `queue`)',
      description: 'Publish to it through the default exchange, or bind it to one of your own.',
      servers: [{ $ref: '#/servers/rabbitmq' }],
      messages: messages('message'),
      bindings: { amqp: { is: 'queue', queue: { name: 'hello', durable: true, exclusive: false, autoDelete: false }, bindingVersion: '0.3.0' } }
    },
    deadLetterQueue: {
      address: 'hello.dead',
      title: 'Where messages go that can\'t be used (option `deadLetterQueue`)',
      servers: [{ $ref: '#/servers/rabbitmq' }],
      messages: messages('deadLetter'),
      bindings: { amqp: { is: 'queue', queue: { name: 'hello.dead', durable: true, exclusive: false, autoDelete: false }, bindingVersion: '0.3.0' } }
    },
    webSocket: {
      address: '/notification',
      title: 'The WebSocket of a user (option `path`)',
      description: `With the subprotocol \`${SUBPROTOCOL}\` a client receives frames of JSON, and acknowledges; without one it receives contents, and sends nothing. The server closes with ${codes.join(', ')}, or with what its application chooses: after 4000 to 4499 connect again, after 4500 to 4999 don't.`,
      servers: [{ $ref: '#/servers/websocket' }],
      messages: messages('content', ...new Set([...serverFrames, ...clientFrames])),
      bindings: {
        ws: {
          method: 'GET',
          query: QuerySchema,
          headers: { type: 'object', properties: { 'Sec-WebSocket-Protocol': subprotocols } },
          bindingVersion: '0.1.0'
        }
      }
    }
  },
  operations: {
    consume: operation('receive', 'queue', 'Consumes what any program publishes for a user', 'message'),
    deadLetter: operation('send', 'deadLetterQueue', 'Puts away what can\'t be used, and with `offline: \'dead-letter\'` what is for nobody', 'deadLetter'),
    push: operation('send', 'webSocket', 'Pushes to a client that offers no subprotocol', 'content'),
    pushFrames: operation('send', 'webSocket', `Pushes to a client that speaks ${SUBPROTOCOL}`, ...serverFrames),
    acknowledge: operation('receive', 'webSocket', `Takes the frames of a client that speaks ${SUBPROTOCOL}`, ...clientFrames)
  },
  components: {
    messages: {
      message: json('Something for a user, in UTF-8; other members are ignored. The body may be compressed: contentEncoding gzip, deflate or br', MessageSchema, [
        { userId: '123', content: 'hello world', id: 'order-7-shipped' },
        { userId: '123', content: { order: 7, state: 'shipped' } }
      ]),
      deadLetter: {
        summary: 'A message as it came, with the reason in its headers',
        headers: DeadLetterHeadersSchema,
        payload: { description: 'the body of the message, unchanged: of an invalid one any bytes' }
      },
      content: {
        summary: 'A content in a text frame',
        contentType: 'text/plain',
        payload: { type: 'string', description: 'a string as it is, anything else as its JSON' },
        examples: [{ payload: 'hello world' }, { payload: '{"order":7,"state":"shipped"}' }]
      },
      welcome: json('The first frame', WelcomeSchema, [{ type: 'welcome', connectionId: '65f1c0ffee65f1c0ffee65f1', heartbeatMs: 25_000, silenceMs: 35_000, frameBytes: 4_096, framesPerSecond: 50, maxUnacked: 100, ackTimeoutMs: 30_000 }]),
      notification: json('Something for the user', NotificationSchema, [{ type: 'notification', id: 'order-7-shipped', content: 'hello world' }]),
      dismiss: json('Another client of the user has acknowledged it (option `dismiss`)', DismissSchema, [{ type: 'dismiss', ids: ['order-7-shipped'] }]),
      ping: json('A sign of life. The server answers that of a client with a pong; a client answers nothing', PingSchema, [{ type: 'ping' }]),
      pong: json('The answer to a client\'s ping', PongSchema, [{ type: 'pong' }]),
      error: json('Comes before a close with 1008', ErrorSchema, [{ type: 'error', code: 'FST_NOTIFICATION_TOO_MANY_FRAMES', message: 'at most 50 frames a second' }]),
      ack: json('Received and taken over', AckSchema, [{ type: 'ack', ids: ['order-7-shipped'] }]),
      nack: json('Could not be handled: it is sent again later, a few times', NackSchema, [{ type: 'nack', ids: ['order-7-shipped'] }])
    }
  }
}

/** The document as text, as it is kept in the repository. */
export const text = `${JSON.stringify(document, null, 2)}\n`
