import Fastify, { type FastifyRequest } from 'fastify'
import { Type } from '@sinclair/typebox'
import notificationPlugin, {
  closeCodes, decodeJson, notificationPlugin as named,
  type Decode, type Health, type NotificationPluginOptions, type Notifier, type NotifyManyResult, type NotifyResult, type ReceivedMessage, type Recipient, type StatsSnapshot, type TraceEntry, type UpgradeContext
} from 'fastify-notification'
import { AggregatorRegistry, Registry, register, type OpenMetricsContentType } from 'prom-client'
import { describe, expect, test } from 'tstyche'
import type { WebSocket } from 'ws'

describe('register', () => {
  const app = Fastify()

  test('takes the options of the quick start', () => {
    expect(app.register).type.toBeCallableWith(notificationPlugin, { amqpUrl: 'amqp://localhost', queue: 'hello' })
    expect(app.register).type.toBeCallableWith(notificationPlugin, {})
    expect(notificationPlugin).type.toBe(named)
  })

  test('every option is optional, groups too', () => {
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({})
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ limits: {}, reconnect: { maxDelay: 1 } })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ prefetch: '10' })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ offline: 'keep' as const })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ amqpUrl: undefined, limits: undefined })
  })

  test('authenticate returns a user id, or one with a time, at once or later', () => {
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ authenticate: () => '123' })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ authenticate: async () => ({ userId: '123', expiresAt: new Date() }) })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ authenticate: (request: FastifyRequest) => ({ userId: request.id, expiresAt: 1 }) })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ authenticate: () => ({ userId: '123', sessionId: 'phone' }) })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ authenticate: () => 123 })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ authenticate: () => ({ user: '123' }) })
  })

  test('authenticate and allowedOrigins are given a signal', () => {
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ authenticate: async (_request: FastifyRequest, { signal }: { signal: AbortSignal }) => String(signal.aborted) })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ allowedOrigins: (_origin: string, _request: FastifyRequest, { signal }: UpgradeContext) => signal.aborted })
    expect<UpgradeContext>().type.toBe<{ readonly signal: AbortSignal }>()
  })

  test('queue is a name, or an object with bindings, or several of them', () => {
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ queue: ['a', { name: 'b', bindings: [{ exchange: 'x', routingKey: '#' }], arguments: { 'x-max-length': 7 } }] })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ queue: { name: 'b' } })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ queue: { bindings: [] } })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ queue: { name: 'b', bindings: [{ routingKey: '#' }] } })
  })

  test('decode is given a message, and returns a notification or undefined, at once or later', () => {
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ decode: ({ json }: ReceivedMessage) => ({ userId: 123, content: json() }) })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ decode: async () => undefined })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ decode: () => ({ user: '123', content: 'hi' }) })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ decode: () => ({ userId: '123' }) })
  })

  test('a message is for exactly one of userId, userIds, group and everybody', () => {
    expect<Recipient>().type.toBeAssignableFrom({ userId: 123, group: null, everybody: false as const })
    expect<Recipient>().type.toBeAssignableFrom({ userIds: ['123', 456] })
    expect<Recipient>().type.toBeAssignableFrom({ group: 'team:7', except: ['123'] })
    expect<Recipient>().type.toBeAssignableFrom({ everybody: true as const, except: [123] })
    expect<Recipient>().type.not.toBeAssignableFrom({ userId: '123', group: 'team:7' })
    expect<Recipient>().type.not.toBeAssignableFrom({ userId: '123', except: ['123'] })
    expect<Recipient>().type.not.toBeAssignableFrom({ everybody: false as const })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ authenticate: () => ({ userId: '123', groups: ['team:7'] }) })
    expect<ReturnType<ReceivedMessage['json']>>().type.toBe<unknown>()
  })

  test('decodeJson gives the body the type of its schema', () => {
    const decode = decodeJson(Type.Object({ user: Type.Integer(), text: Type.String() }), (body, message) => {
      expect(body).type.toBe<{ user: number, text: string }>()
      expect(message).type.toBe<ReceivedMessage>()
      return { userId: body.user, content: body.text }
    })
    expect(decode).type.toBe<Decode>()
  })

  test('options of register itself are taken', () => {
    expect(app.register).type.toBeCallableWith(notificationPlugin, { prefix: '/v1', logLevel: 'warn', logSerializers: { req: () => '' } })
    expect(app.register).type.not.toBeCallableWith(notificationPlugin, { logLevel: 'loud' })
  })

  test('metrics go into any registry of prom-client', () => {
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ metrics: register })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ metrics: new Registry<OpenMetricsContentType>() })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ metrics: new AggregatorRegistry() })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ metrics: true })
  })

  test('origins are strings, expressions, a function, or any', () => {
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ allowedOrigins: ['https://example.com', /./] })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ allowedOrigins: '*' as const })
    expect<NotificationPluginOptions>().type.toBeAssignableFrom({ allowedOrigins: (origin: string) => origin === 'null' })
    expect<NotificationPluginOptions>().type.not.toBeAssignableFrom({ allowedOrigins: 'https://example.com' })
  })
})

describe('fastify.notifier', () => {
  const { notifier } = Fastify()

  test('is there, with the types of its results', () => {
    expect(notifier).type.toBe<Notifier>()
    expect(notifier.notify('123', { any: 'thing' })).type.toBe<Promise<NotifyResult>>()
    expect(notifier.notify('123', 'hi', { id: 'x' })).type.toBe<Promise<NotifyResult>>()
    expect(notifier.notifyMany(new Set(['1']), 'hi')).type.toBe<Promise<NotifyManyResult>>()
    expect(notifier.broadcast('hi')).type.toBe<Promise<NotifyManyResult>>()
    expect(notifier.disconnect('123', 4502, 'bye')).type.toBe<number>()
    expect(notifier.disconnect('123')).type.toBe<number>()
    expect(notifier.disconnect('123', { sessionId: 'phone', reconnect: true })).type.toBe<number>()
    expect(notifier.disconnect).type.not.toBeCallableWith('123', { sessionId: undefined })
    expect(notifier.disconnect).type.not.toBeCallableWith('123', { session: 'phone' })
    expect(notifier.connections('123')).type.toBe<number>()
    expect(notifier.isOnline('123')).type.toBe<Promise<boolean>>()
    expect(notifier.health()).type.toBe<Health>()
    expect(notifier.stats()).type.toBe<StatsSnapshot>()
    expect(notifier.notifyGroup('team:7', 'hi', { id: 'x', except: new Set(['123']) })).type.toBe<Promise<NotifyManyResult>>()
    expect(notifier.broadcast('hi', { except: ['123'] })).type.toBe<Promise<NotifyManyResult>>()
    expect(notifier.join('123', 'team:7')).type.toBe<Promise<number>>()
    expect(notifier.leave('123', 'team:7')).type.toBe<Promise<number>>()
    expect(notifier.trace({ userId: '123' })).type.toBe<TraceEntry[]>()
    expect(notifier.trace).type.toBeCallableWith({ userId: '123', id: 'x' })
    expect(notifier.trace).type.toBeCallableWith()
    expect(notifier.trace).type.toBeCallableWith({} as unknown)
    expect<NotifyResult['outcome']>().type.toBe<'acknowledged' | 'sent' | 'held' | 'offline' | 'dead-lettered'>()
  })

  test('takes a socket of @fastify/websocket', () => {
    const socket = {} as WebSocket
    expect(notifier.register('123', socket)).type.toBe<string>()
    expect(notifier.unregister('123', socket)).type.toBe<boolean>()
    expect(notifier.register).type.not.toBeCallableWith(123, socket)
  })

  test('users can be iterated', () => {
    expect([...notifier.users]).type.toBe<string[]>()
    expect(notifier.users.size).type.toBe<number>()
  })
})

test('close codes are literals', () => {
  expect(closeCodes.disconnected).type.toBe<4502>()
})
